"""Arrays of recorded pseudo-labels, and what is counted of them."""

from collections.abc import Mapping, Sequence
import itertools
from typing import Any, NamedTuple

import numpy as np

# Records that a figure of the present is taken over: the last quarter.
RECENT = 0.25


class Guesses(NamedTuple):
  """Pseudo-labels of unlabelled rows.

  Attributes:
    step: step of each [n], int.
    label: predicted class [n], or -1.
    true: true class [n], or -1 where it is not known.
    share: share of the votes [n], in [0, 1].
  """

  step: np.ndarray
  label: np.ndarray
  true: np.ndarray
  share: np.ndarray

  def select(self, rows: np.ndarray) -> 'Guesses':
    """Returns those of `rows`, a mask or positions."""
    return Guesses(*(x[rows] for x in self))

  def within(self, classes: int) -> 'Guesses':
    """Returns those whose classes are below `classes`, as all should be."""
    return self.select((self.label < classes) & (self.true < classes))

  @property
  def recent(self) -> 'Guesses':
    """Those of the last quarter of the recorded steps."""
    steps = np.unique(self.step)
    if not len(steps):
      return self
    first = steps[-max(1, round(RECENT * len(steps)))]
    return self.select(self.step >= first)

  @property
  def known(self) -> 'Guesses':
    """Those with a prediction whose true class is known."""
    return self.select((self.label >= 0) & (self.true >= 0))


def collect(lines: Sequence[Mapping[str, Any]]) -> Guesses:
  """Puts the lines of `pseudo_labels.jsonl` together."""
  parts: dict[str, list[Any]] = {name: [] for name in Guesses._fields}
  for line in lines:
    columns = [line.get(name, []) for name in ('label', 'true', 'share')]
    n = min(map(len, columns))
    parts['step'] += [line['step']] * n
    for name, column in zip(('label', 'true', 'share'), columns, strict=True):
      parts[name] += column[:n]
  return Guesses(
    np.asarray(parts['step'], int),
    np.asarray(parts['label'], int),
    np.asarray(parts['true'], int),
    np.asarray(parts['share'], float),
  )


class Scores(NamedTuple):
  """What the pseudo-labels of each class are worth.

  Attributes:
    precision: of those predicted, the share that is right [C]; NaN: none was.
    recall: of those that are, the share that was predicted [C]; NaN: none is.
    predicted: rows predicted [C].
    actual: rows that are [C].
  """

  precision: np.ndarray
  recall: np.ndarray
  predicted: np.ndarray
  actual: np.ndarray


def per_class(known: Guesses, classes: int) -> Scores:
  """Precision and recall of each class; `known` has both labels."""
  right = np.bincount(known.true[known.true == known.label], minlength=classes)
  predicted = np.bincount(known.label, minlength=classes)
  actual = np.bincount(known.true, minlength=classes)
  with np.errstate(invalid='ignore'):
    return Scores(right / predicted, right / actual, predicted, actual)


def confusion(known: Guesses, classes: int) -> np.ndarray:
  """Rows of each true class by predicted class, int [C, C]."""
  cell = known.true * classes + known.label
  return np.bincount(cell, minlength=classes**2).reshape(classes, classes)


def confused(known: Guesses, most: int) -> list[tuple[int, int, int]]:
  """The most frequent mistakes: true class, predicted class, rows."""
  wrong = known.select(known.true != known.label)
  pairs, counts = np.unique(
    np.stack([wrong.true, wrong.label], 1), axis=0, return_counts=True
  )
  order = np.argsort(-counts, kind='stable')[:most]
  return [(int(a), int(b), int(counts[n])) for n, (a, b) in
          zip(order, pairs[order], strict=True)]  # fmt: skip


def balance(
  guesses: Guesses, classes: int, bins: int
) -> tuple[np.ndarray, np.ndarray]:
  """Share of each class among the predictions over time.

  Returns:
    The last step of each bin [n] and shares [n, C], n at most `bins`.
  """
  made = guesses.select(guesses.label >= 0)
  steps = np.unique(made.step)
  if not len(steps):
    return steps, np.zeros((0, classes))
  parts = np.array_split(steps, min(bins, len(steps)))
  shares = []
  for part in parts:
    rows = made.label[(made.step >= part[0]) & (made.step <= part[-1])]
    shares.append(np.bincount(rows, minlength=classes) / len(rows))
  return np.asarray([part[-1] for part in parts]), np.asarray(shares)


def reliability(
  known: Guesses, edges: Sequence[float]
) -> list[tuple[float, float, float, int]]:
  """Bins of the share of votes: from, to, share that is right, rows."""
  found = []
  for low, high in itertools.pairwise(edges):
    last = high == edges[-1]
    rows = (known.share >= low) & ((known.share < high) | last)
    if rows.any():
      right = float((known.label == known.true)[rows].mean())
      found.append((low, high, right, int(rows.sum())))
  return found
