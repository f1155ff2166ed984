"""What is held out, and what a sweep chooses by it."""

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from semppl_jax.evaluators import sweep
from semppl_jax.evaluators.linear_model import Classifier


@settings(max_examples=100, deadline=None)
@given(
  counts=st.lists(st.integers(0, 12), min_size=1, max_size=6),
  hidden=st.integers(0, 5),
  share=st.floats(0.01, 0.99),
  seed=st.integers(0, 1000),
)
def test_every_class_has_its_share_on_either_side(counts, hidden, share, seed):
  label = np.repeat(np.arange(-1, len(counts)), [hidden, *counts])
  label = np.random.default_rng(seed).permutation(label)
  fit, held = sweep.split(label, share, seed)
  both = np.sort(np.concatenate([fit, held]))
  np.testing.assert_array_equal(both, np.flatnonzero(label >= 0))
  for c, count in enumerate(counts):
    taken = (label[held] == c).sum()
    if count > 1:
      assert 1 <= taken <= count - 1
      assert taken in (1, count - 1) or abs(taken - share * count) <= 0.5
    else:
      assert taken == 0


def test_the_seed_is_the_draw():
  label = np.repeat([0, 1], 30)
  one, same, other = (sweep.split(label, 0.3, seed) for seed in (0, 0, 1))
  np.testing.assert_array_equal(one.held_out, same.held_out)
  assert (one.held_out != other.held_out).any()
  assert (np.bincount(label[one.held_out]) == 9).all()
  # A draw, and not the first of each class.
  assert (one.held_out != np.r_[0:9, 30:39]).any()


@pytest.mark.parametrize('share', [0.0, 1.0, float('nan')])
def test_a_share_outside_its_range_is_named(share):
  with pytest.raises(ValueError, match=r'must be in \(0, 1\), got'):
    sweep.split(np.zeros(4, int), share, 0)


def _path(calls, good):
  """Classifiers that know the answer where the regularizer is in `good`."""

  def path(features, label, regularizers):
    calls.append((len(features), tuple(regularizers)))
    for r in regularizers:
      sign = 1.0 if r in good else -1.0
      yield r, Classifier(sign * np.eye(2), np.zeros(2))

  return path


FEATURES = np.tile(np.eye(2), (10, 1))
LABEL = np.tile([0, 1], 10)


def test_the_strongest_of_the_best_is_fitted_on_everything():
  calls = []
  part = sweep.split(LABEL, 0.2, 0)
  path = _path(calls, (0.1, 1.0))
  got = sweep.sweep(path, FEATURES, LABEL, (1.0, 0.01, 10.0, 0.1), part)
  assert got.regularizer == 1.0
  assert list(got.table.items()) == [(0.01, 0), (0.1, 1), (1.0, 1), (10.0, 0)]
  np.testing.assert_array_equal(got.classifier.weight, np.eye(2))
  assert calls == [(16, (1.0, 0.01, 10.0, 0.1)), (20, (1.0,))]


def test_one_regularizer_needs_no_choice():
  calls = []
  part = sweep.split(LABEL, 0.2, 0)
  got = sweep.sweep(_path(calls, ()), FEATURES, LABEL, (0.5,), part)
  assert got.regularizer == 0.5 and got.table == {}
  assert calls == [(20, (0.5,))]


def test_nothing_held_out_leaves_the_strongest(caplog):
  calls, label = [], np.array([0, 1])
  part = sweep.split(label, 0.5, 0)
  path = _path(calls, ())
  got = sweep.sweep(path, FEATURES[:2], label, (0.1, 2.0, 1.0), part)
  assert got.regularizer == 2.0 and got.table == {}
  assert 'No class has an image to hold out' in caplog.text


def test_another_score_may_choose():
  part = sweep.split(LABEL, 0.2, 0)
  worst = lambda logits, label: -np.mean(logits.argmax(axis=1) == label)
  path = _path([], (0.1,))
  got = sweep.sweep(path, FEATURES, LABEL, (0.1, 0.01), part, worst)
  assert got.regularizer == 0.01


@pytest.mark.parametrize('regularizers', [(), (1.0, 0.0), (float('nan'),)])
def test_regularizers_outside_their_range_are_named(regularizers):
  part = sweep.split(LABEL, 0.2, 0)
  with pytest.raises(ValueError, match='one or more numbers > 0, got'):
    sweep.sweep(_path([], ()), FEATURES, LABEL, regularizers, part)
