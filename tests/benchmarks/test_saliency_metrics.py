"""Figures by hand, and against plain loops."""

import importlib
import pathlib
import sys

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'benchmarks'))

metrics = importlib.import_module('saliency_metrics')


def _plain(pairs):
  """F-measure of the mean curve, and error, threshold by threshold."""
  best, error = 0.0, 0.0
  for threshold in range(256):
    precision = recall = 0.0
    for saliency, truth in pairs:
      kept = np.round(saliency * 255) >= threshold
      hits = np.sum(kept & truth)
      precision += hits / np.sum(kept) if kept.any() else 0
      recall += hits / np.sum(truth)
    precision, recall = precision / len(pairs), recall / len(pairs)
    if precision + recall > 0:
      f = 1.3 * precision * recall / (0.3 * precision + recall)
      best = max(best, f)
  for saliency, truth in pairs:
    for s, t in zip(saliency.ravel(), truth.ravel(), strict=True):
      error += abs(float(s) - float(t)) / saliency.size / len(pairs)
  return best, error


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4))
def test_figures_are_those_of_plain_loops(seed, images):
  rng = np.random.default_rng(seed)
  pairs = []
  for _ in range(images):
    shape = rng.integers(1, 7, 2)
    truth = rng.random(shape) < 0.4
    truth[0, 0] = True
    pairs.append((rng.random(shape).astype(np.float32) ** 2, truth))
  got = metrics.score(pairs)
  best, error = _plain(pairs)
  assert got.max_f == pytest.approx(best)
  assert got.error == pytest.approx(error)
  assert got.images == images


def test_figures_by_hand():
  # Above 0: both, of which one is right. At 1: the right one.
  saliency = np.array([[1.0, 0.5, 0.0, 0.0]])
  truth = np.array([[True, False, True, False]])
  curve = metrics.curve(saliency, truth)
  np.testing.assert_allclose(curve.precision[[0, 1, 128, 129, 255]],
                             [0.5, 0.5, 0.5, 1, 1])  # fmt: skip
  np.testing.assert_allclose(curve.recall[[0, 1, 255]], [1, 0.5, 0.5])
  # All: 1.3 / 2 / 1.15; the first alone: 1.3 / 2 / 0.8, the greatest.
  assert metrics.max_f_measure(curve) == pytest.approx(0.65 / 0.8)
  assert metrics.absolute_error(saliency, truth) == pytest.approx(1.5 / 4)


def test_the_curve_is_averaged_before_the_measure():
  truth = np.array([[True, False]])
  # Each has a threshold that is right, and no threshold is right for both.
  pairs = [
    (np.array([[0.9, 0.6]]), truth),
    (np.array([[0.4, 0.1]]), truth),
  ]
  alone = [metrics.score([pair]).max_f for pair in pairs]
  assert alone == pytest.approx([1, 1])
  assert metrics.score(pairs).max_f == pytest.approx(1.3 * 0.75 / (0.225 + 1))


def test_a_perfect_map_and_an_empty_one():
  truth = np.array([[True, False, False]])
  assert metrics.score([(truth.astype(float), truth)]) == (1, 0, 1)
  empty = metrics.score([(np.zeros((1, 3)), truth)])
  # All pixels, at the lowest threshold.
  assert empty.max_f == pytest.approx(1.3 / 3 / (0.1 + 1))
  assert empty.error == pytest.approx(1 / 3)


@pytest.mark.parametrize(
  ('saliency', 'truth'),
  [
    (np.zeros((2, 3)), np.ones((3, 2), bool)),
    (np.zeros((2, 3)), np.ones((2, 3), np.uint8)),
    (np.zeros((2, 3)), np.zeros((2, 3), bool)),
    (np.full((2, 3), 1.5), np.ones((2, 3), bool)),
    (np.full((2, 3), np.nan), np.ones((2, 3), bool)),
  ],
)
def test_bad_input_is_one_sentence(saliency, truth):
  with pytest.raises(ValueError, match=r'^[^\n]+\.$'):
    metrics.score([(saliency, truth)])


def test_no_image_is_one_sentence():
  with pytest.raises(ValueError, match=r'^[^\n]+ none\.$'):
    metrics.score([])
