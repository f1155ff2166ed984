"""Statistics of recorded pseudo-labels by class, and their figures."""

from collections.abc import Iterator, Mapping, Sequence
import itertools
from typing import NamedTuple

import numpy as np

from semppl_jax.report import formatting, plots
from semppl_jax.report.components import Block, Figure, Table

# Classes that are drawn one by one; of more, the extremes are listed.
MAX_DRAWN, _MAX_LISTED = 24, 12


class PseudoLabelRecords(NamedTuple):
  """Pseudo-labels of n unlabelled rows.

  Attributes:
    step: step of each [n], int.
    label: predicted class [n], or -1 if there is none.
    true: true class [n], or -1 if unknown.
    share: share of the votes [n], in [0, 1].
  """

  step: np.ndarray
  label: np.ndarray
  true: np.ndarray
  share: np.ndarray

  def select(self, rows: np.ndarray) -> 'PseudoLabelRecords':
    """Returns the rows of a mask or of positions."""
    return PseudoLabelRecords(*(x[rows] for x in self))

  def within(self, classes: int) -> 'PseudoLabelRecords':
    """Returns the rows whose classes are valid, below `classes`."""
    return self.select((self.label < classes) & (self.true < classes))

  @property
  def recent(self) -> 'PseudoLabelRecords':
    """Rows of the last quarter of the recorded steps."""
    steps = np.unique(self.step)
    if not len(steps):
      return self
    return self.select(self.step >= steps[-max(1, round(len(steps) / 4))])

  @property
  def known(self) -> 'PseudoLabelRecords':
    """Rows with a pseudo-label and a known true class."""
    return self.select((self.label >= 0) & (self.true >= 0))


class ClassScores(NamedTuple):
  """Quality of the pseudo-labels of each class.

  Attributes:
    precision: share of the predicted rows that are right [C]; NaN without any.
    recall: share of the true rows that are predicted [C]; NaN without any.
    predicted: number of rows predicted [C].
    actual: number of true rows [C].
  """

  precision: np.ndarray
  recall: np.ndarray
  predicted: np.ndarray
  actual: np.ndarray


def collect(lines: Sequence[Mapping[str, list]]) -> PseudoLabelRecords:
  """Concatenates the lines of `pseudo_labels.jsonl`."""
  names = ('label', 'true', 'share')
  rows = [
    (line['step'], *values)
    for line in lines
    for values in zip(*(line.get(name, []) for name in names))  # noqa: B905
  ]
  columns = [*zip(*rows, strict=True)] or [()] * 4
  types = (int, int, int, float)
  return PseudoLabelRecords(*map(np.asarray, columns, types))


def class_scores(known: PseudoLabelRecords, classes: int) -> ClassScores:
  """Returns precision and recall of each class.

  Args:
    known: rows with both labels.
    classes: number of classes C.
  """
  right = np.bincount(known.true[known.true == known.label], minlength=classes)
  predicted = np.bincount(known.label, minlength=classes)
  actual = np.bincount(known.true, minlength=classes)
  with np.errstate(invalid='ignore'):
    return ClassScores(right / predicted, right / actual, predicted, actual)


def confusion_matrix(known: PseudoLabelRecords, classes: int) -> np.ndarray:
  """Counts rows of each true class by predicted class, int [C, C]."""
  cell = known.true * classes + known.label
  return np.bincount(cell, minlength=classes**2).reshape(classes, classes)


def frequent_mistakes(
  known: PseudoLabelRecords, limit: int
) -> list[tuple[int, int, int]]:
  """Returns true class, predicted class and rows of the commonest mistakes."""
  wrong = known.select(known.true != known.label)
  pairs, counts = np.unique(
    np.stack([wrong.true, wrong.label], 1), axis=0, return_counts=True
  )
  order = np.argsort(-counts, kind='stable')[:limit]
  return [(int(a), int(b), int(n)) for (a, b), n in
          zip(pairs[order], counts[order], strict=True)]  # fmt: skip


def class_shares(
  records: PseudoLabelRecords, classes: int, bins: int
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the share of each class among the predictions over time.

  Returns:
    The last step of each bin [n] and shares [n, C], n at most `bins`.
  """
  predicted = records.select(records.label >= 0)
  steps = np.unique(predicted.step)
  if not len(steps):
    return steps, np.zeros((0, classes))
  parts = np.array_split(steps, min(bins, len(steps)))
  shares = []
  for part in parts:
    rows = (predicted.step >= part[0]) & (predicted.step <= part[-1])
    counts = np.bincount(predicted.label[rows], minlength=classes)
    shares.append(counts / counts.sum())
  return np.asarray([part[-1] for part in parts]), np.asarray(shares)


def reliability(
  known: PseudoLabelRecords, edges: Sequence[float]
) -> list[tuple[float, float, float, int]]:
  """Returns bins of the share of votes: from, to, accuracy and rows."""
  bins = []
  for low, high in itertools.pairwise(edges):
    last = high == edges[-1]
    rows = (known.share >= low) & ((known.share < high) | last)
    if rows.any():
      right = float((known.label == known.true)[rows].mean())
      bins.append((low, high, right, int(rows.sum())))
  return bins


def class_blocks(
  names: list[str], known: PseudoLabelRecords
) -> Iterator[Block]:
  """Yields precision, recall, confusion and mistakes.

  Args:
    names: names of the classes [C].
    known: pseudo-labels whose true class is known.
  """
  scores = class_scores(known, len(names))
  if len(names) <= MAX_DRAWN:
    yield _bars(names, scores)
    yield _confusion(names, known)
  else:
    yield from _extremes(names, scores)
  yield Table(
    'Most frequent mistakes',
    ('true', 'predicted', 'rows', 'of the true class'),
    [
      (names[a], names[b], f'{n:,}', formatting.percent(n / scores.actual[a]))
      for a, b, n in frequent_mistakes(known, _MAX_LISTED)
    ],
    'Good: the classes of a mistake look similar to people too.',
    folded=len(names) <= MAX_DRAWN,
  )


def _bars(names: list[str], scores: ClassScores) -> Figure:
  title = 'Precision and recall by class'

  def draw(axes: plots.Axes) -> None:
    place = np.arange(len(names))
    for n, label in enumerate(('precision', 'recall')):
      axes.barh(
        place + (n - 0.5) * 0.36, 100 * np.nan_to_num(scores[n]), 0.34,
        color=plots.SERIES[n], label=label,
      )  # fmt: skip
    axes.set_yticks(place, [plots.short(name, 18) for name in names])
    axes.invert_yaxis()
    axes.set_xlabel('%')
    plots.legend(axes)

  return plots.figure(
    title,
    draw,
    'Good: long bars of equal length. A class of low recall is predicted too'
    ' rarely; one of low precision is predicted for images of other classes.',
    {
      'class': list(names),
      'precision': plots.rounded(scores.precision),
      'recall': plots.rounded(scores.recall),
      'predicted': scores.predicted.tolist(),
      'actual': scores.actual.tolist(),
    },
    height=0.9 + 0.26 * len(names),
  )


def _extremes(names: list[str], scores: ClassScores) -> Iterator[Block]:
  title = 'Recall of the classes, worst to best'
  lines = []
  for label in ('recall', 'precision'):
    values = getattr(scores, label)
    values = np.sort(values[np.isfinite(values)])
    rank = 100 * np.linspace(0, 1, max(len(values), 2))[: len(values)]
    lines.append(plots.Line(label, *plots.thinned(rank, 100 * values)))
  yield Figure(
    title,
    plots.lines(title, lines, x='classes, %', y='%', bottom=0),
    'Good: the left end is above 0, so that every class is predicted.',
    plots.line_data(lines),
  )
  order = np.argsort(scores.recall)
  order = order[np.isfinite(scores.recall[order])]
  for title, chosen in (
    ('Classes of least recall', order[:_MAX_LISTED]),
    ('Classes of most recall', order[::-1][:_MAX_LISTED]),
  ):
    yield Table(
      title,
      ('class', 'recall', 'precision', 'true rows', 'predicted rows'),
      [
        (
          names[c],
          formatting.percent(float(scores.recall[c])),
          formatting.percent(float(scores.precision[c])),
          f'{scores.actual[c]:,}',
          f'{scores.predicted[c]:,}',
        )
        for c in chosen
      ],
      'Shares of few rows are uncertain.',
    )


def _confusion(names: list[str], known: PseudoLabelRecords) -> Figure:
  title = 'Confusion matrix'
  counts = confusion_matrix(known, len(names))
  share = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)

  def draw(axes: plots.Axes) -> None:
    image = axes.imshow(share, cmap='Blues', vmin=0, vmax=100)
    ticks = [plots.short(name, 12) for name in names]
    axes.set_xticks(range(len(names)), ticks, rotation=90)
    axes.set_yticks(range(len(names)), ticks)
    axes.set_xlabel('predicted')
    axes.set_ylabel('true')
    if len(names) <= 12:
      for (row, column), value in np.ndenumerate(share):
        axes.text(
          column, row, f'{value:.0f}', ha='center', va='center', fontsize=7,
          color='white' if value > 55 else 'black',
        )  # fmt: skip
    plots.colorbar(axes, image, 'of the true class, %', shrink=0.8)

  return plots.figure(
    title,
    draw,
    'Good: a dark diagonal on a light background. A dark column is a class that'
    ' is predicted for images of other classes.',
    {'class': list(names), 'true_by_predicted': counts.tolist()},
    height=4.4,
  )
