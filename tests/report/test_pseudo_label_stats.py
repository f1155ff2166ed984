"""Counts of pseudo-labels, against counting by hand."""

import hypothesis
from hypothesis import strategies as st
import numpy as np

from semppl_jax.report import pseudo_label_stats as stats_lib
from semppl_jax.report.pseudo_label_stats import PseudoLabelRecords

C = 4


def _made(rows):
  step, label, true, share = zip(*rows, strict=True)
  return PseudoLabelRecords(
    *(np.asarray(x) for x in (step, label, true, share))
  )


ROWS = st.lists(
  st.tuples(
    st.integers(1, 9), st.integers(-1, C - 1), st.integers(-1, C - 1),
    st.sampled_from([0.0, 0.25, 0.3, 0.999, 1.0]),
  ),
  min_size=1, max_size=40,
).map(_made)  # fmt: skip


def test_lines_are_put_together_and_cut_to_their_shortest_column():
  found = stats_lib.collect(
    [
      {'step': 1, 'label': [0, 1], 'true': [1, 1], 'share': [0.5, 1.0]},
      {'step': 2, 'label': [2, 3], 'true': [2], 'share': [1.0, 1.0]},
      {'step': 3},
    ]
  )
  assert found.step.tolist() == [1, 1, 2]
  assert found.label.tolist() == [0, 1, 2]
  assert not len(stats_lib.collect([]).label)


def test_recent_is_the_last_quarter_of_the_records():
  rows = [(step, 0, 0, 1.0) for step in (1, 2, 3, 4, 5, 6, 7, 8) for _ in 'ab']
  assert set(_made(rows).recent.step.tolist()) == {7, 8}
  assert set(_made(rows[:2]).recent.step.tolist()) == {1}


@hypothesis.given(ROWS)
def test_precision_and_recall(made):
  known = made.known
  scores = stats_lib.class_scores(known, C)
  pairs = [*zip(known.label.tolist(), known.true.tolist(), strict=True)]
  assert all(a >= 0 and b >= 0 for a, b in pairs)
  for c in range(C):
    right = sum(a == b == c for a, b in pairs)
    predicted = sum(a == c for a, _ in pairs)
    actual = sum(b == c for _, b in pairs)
    assert (scores.predicted[c], scores.actual[c]) == (predicted, actual)
    for value, of in ((scores.precision, predicted), (scores.recall, actual)):
      assert np.isnan(value[c]) if not of else value[c] == right / of


@hypothesis.given(ROWS)
def test_confusion_counts_every_pair(made):
  known = made.known
  matrix = stats_lib.confusion_matrix(known, C)
  slow = np.zeros((C, C), int)
  for a, b in zip(known.label, known.true, strict=True):
    slow[b, a] += 1
  np.testing.assert_array_equal(matrix, slow)
  mistakes = stats_lib.frequent_mistakes(known, 5)
  np.fill_diagonal(slow, 0)
  assert [n for *_, n in mistakes] == sorted(slow[slow > 0])[::-1][:5]
  assert all(slow[a, b] == n for a, b, n in mistakes)


@hypothesis.given(ROWS, st.integers(1, 12))
def test_shares_of_the_classes_add_up(made, bins):
  steps, shares = stats_lib.class_shares(made, C, bins)
  assert len(steps) <= bins
  np.testing.assert_allclose(shares.sum(1), 1.0)
  assert (np.diff(steps) > 0).all()
  used = made.label >= 0
  if used.any():
    assert steps[-1] == made.step[used].max()
    if bins == 1:
      np.testing.assert_allclose(
        shares[0], np.bincount(made.label[used], minlength=C) / used.sum()
      )


@hypothesis.given(ROWS)
def test_every_known_row_is_in_one_bin_of_votes(made):
  known = made.known
  found = stats_lib.reliability(known, (0.0, 0.25, 0.5, 0.999, 1.0))
  assert sum(n for *_, n in found) == len(known.label)
  right = sum(value * n for _, _, value, n in found)
  np.testing.assert_allclose(right, (known.label == known.true).sum())
