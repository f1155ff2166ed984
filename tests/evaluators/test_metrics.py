"""Metrics by hand, and against plain loops."""

from fractions import Fraction

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from semppl_jax.evaluators import metrics

SCORES = np.array(
  [
    [0.1, 0.7, 0.2],
    [0.5, 0.3, 0.2],
    [0.3, 0.3, 0.4],
    [0.6, 0.2, 0.2],
    [0.9, 0.0, 0.1],
  ]
)
LABEL = np.array([1, 1, 2, 0, -1])


def test_top_k_by_hand():
  assert metrics.top_k(SCORES, LABEL) == 3 / 4
  assert metrics.top_k(SCORES, LABEL, 2) == 1
  assert metrics.top_k(SCORES, LABEL, 5) == 1
  # Per class: 1 of 1, 1 of 2, 1 of 1.
  assert metrics.mean_per_class(SCORES, LABEL) == pytest.approx(2.5 / 3)


def test_top5_is_reported_above_ten_classes():
  few, many = np.eye(10), np.eye(11)
  assert metrics.accuracy('x', few, np.arange(10)) == {'x/top1': 1.0}
  got = metrics.accuracy('x', many[::-1], np.arange(11))
  assert got == {'x/top1': 1 / 11, 'x/top5': 5 / 11}


def test_of_equal_scores_the_lower_class_ranks_first():
  scores = np.zeros((3, 4))
  assert metrics.top_k(scores, np.array([0, 1, 3]), 1) == pytest.approx(1 / 3)
  assert metrics.top_k(scores, np.array([0, 1, 3]), 2) == pytest.approx(2 / 3)


def test_a_classifier_that_diverged_is_never_right():
  assert metrics.top_k(np.full((3, 4), np.nan), np.array([0, 1, 2])) == 0


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 6))
def test_classification_is_that_of_plain_loops(seed, rows, classes):
  rng = np.random.default_rng(seed)
  scores = rng.integers(0, 4, (rows, classes)).astype(np.float32)
  label = rng.integers(-1, classes, rows)
  label[0] = 0
  for k in (1, 2, 5):
    hits = {}
    for row, c in zip(scores, label, strict=True):
      if c >= 0:
        best = sorted(range(classes), key=lambda i, r=row: (-r[i], i))[:k]
        hits.setdefault(int(c), []).append(c in best)
    every = [hit for some in hits.values() for hit in some]
    assert metrics.top_k(scores, label, k) == pytest.approx(np.mean(every))
    if k == 1:
      assert metrics.mean_per_class(scores, label) == pytest.approx(
        np.mean([np.mean(some) for some in hits.values()])
      )


@pytest.mark.parametrize(
  'call',
  [
    lambda: metrics.top_k(SCORES, np.full(5, -1)),
    lambda: metrics.mean_per_class(SCORES, np.full(5, -1)),
    lambda: metrics.top_k(SCORES, np.full(5, 3)),
    lambda: metrics.top_k(SCORES, LABEL, 0),
    lambda: metrics.average_precision_11(np.ones(3), np.zeros(3, bool)),
    lambda: metrics.mean_ap_11(SCORES, np.zeros((5, 3), int)),
  ],
)
def test_bad_input_is_one_sentence(call):
  with pytest.raises(ValueError, match=r'^[^\n]+\.$'):
    call()


def test_average_precision_by_hand():
  # Precision 1, 2/3 and 1/2 at recalls 1/3, 2/3 and 1; so 4, 3 and 4 of the
  # eleven levels.
  scores = np.array([9, 8, 7, 6, 5, 4.0])
  positive = np.array([1, 0, 1, 0, 0, 1], bool)
  got = metrics.average_precision_11(scores, positive)
  assert got == pytest.approx((4 * 1 + 3 * 2 / 3 + 4 / 2) / 11)
  # Without the second image: 1, 1 and 3/5.
  ignored = np.array([0, 1, 0, 0, 0, 0], bool)
  got = metrics.average_precision_11(scores, positive, ignored)
  assert got == pytest.approx((7 * 1 + 4 * 3 / 5) / 11)


def test_a_recall_that_is_a_level_reaches_it():
  # The third of ten positives is a recall of 0.3, and 0.1 * 3 is more.
  positive = np.array([1] * 3 + [0] * 9 + [1] * 7, bool)
  got = metrics.average_precision_11(-np.arange(19.0), positive)
  assert got == pytest.approx((4 * 1 + 7 * 10 / 19) / 11)


def _slow_ap(scores, positive):
  order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
  total, points, found = sum(positive), [], 0
  for rank, i in enumerate(order, 1):
    found += bool(positive[i])
    points.append((Fraction(found, total), Fraction(found, rank)))
  levels = [Fraction(i, 10) for i in range(11)]
  best = [max(p for r, p in points if r >= level) for level in levels]
  return float(sum(best) / 11)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40))
def test_mean_average_precision_is_that_of_a_plain_loop(seed, rows):
  rng = np.random.default_rng(seed)
  scores = rng.integers(0, 9, (rows, 3)).astype(np.float32)
  labels = rng.integers(-1, 2, (rows, 3)).astype(np.int8)
  labels[0, 0] = 1
  labels[:, 2] = np.minimum(labels[:, 2], 0)  # A class that nobody shows.
  slow = []
  for c in range(3):
    kept = labels[:, c] >= 0
    if (labels[:, c] == 1).any():
      slow.append(_slow_ap(scores[kept, c], labels[kept, c] == 1))
  assert metrics.mean_ap_11(scores, labels) == pytest.approx(np.mean(slow))


def _errors(value):
  return {
    name: {s: value(error, s) for s in range(1, 6)}
    for name, error in metrics.ALEXNET_ERROR.items()
  }


def test_alexnet_has_a_corruption_error_of_one():
  found = metrics.mean_corruption_error(_errors(lambda error, s: error))
  assert found.mce == pytest.approx(1)
  assert set(found.normalized) == set(metrics.ALEXNET_ERROR)
  assert len(found.normalized) == 15


def test_corruption_error_by_hand():
  errors = {
    'fog': {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4, 5: 0.5},
    'snow': dict.fromkeys(range(1, 6), 0.6),
  }
  found = metrics.mean_corruption_error(errors, {'fog': 0.6, 'snow': 0.8})
  assert found.normalized == pytest.approx({'fog': 1.5 / 3, 'snow': 3 / 4})
  assert found.mce == pytest.approx(0.625)
  assert found.mean == pytest.approx(0.45)


def test_a_corruption_error_over_less_than_all_is_refused():
  errors = _errors(lambda error, s: 0.5)
  del errors['fog'][3]
  with pytest.raises(ValueError, match=r"1 missing or unknown: 'fog/3'\.$"):
    metrics.mean_corruption_error(errors)
  del errors['fog']
  with pytest.raises(ValueError, match=r"'fog'\.$"):
    metrics.mean_corruption_error(errors)
