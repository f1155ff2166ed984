"""Which classes the pseudo-labels get right, and which they take for which."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from semppl_jax.report import (
  compared,
  formatting,
  plots,
  pseudo_label_stats as pseudo_label_stats_lib,
)
from semppl_jax.report.components import Block, Figure, Table
from semppl_jax.report.pseudo_label_stats import Guesses

# Classes that are drawn one by one; of more, the extremes are listed.
DRAWN, _LISTED = 24, 12


def blocks(names: list[str], known: Guesses) -> Iterator[Block]:
  """Precision, recall, confusion and mistakes.

  Args:
    names: of the classes [C].
    known: pseudo-labels whose true class is known.
  """
  scores = pseudo_label_stats_lib.per_class(known, len(names))
  if len(names) <= DRAWN:
    yield _bars(names, scores)
    yield _matrix(names, known)
  else:
    yield from _extremes(names, scores)
  yield _mistakes(names, known)


def _bars(names: list[str], scores: pseudo_label_stats_lib.Scores) -> Figure:
  title = 'Precision and recall by class'

  def draw(axes: Any) -> None:
    place = np.arange(len(names))
    for n, (label, value) in enumerate(
      {'precision': scores.precision, 'recall': scores.recall}.items()
    ):
      axes.barh(
        place + (n - 0.5) * 0.36, 100 * np.nan_to_num(value), 0.34,
        color=plots.SERIES[n], label=label,
      )  # fmt: skip
    axes.set_yticks(place, [plots.short(name, 18) for name in names])
    axes.invert_yaxis()
    axes.set_xlabel('%')
    plots.legend(axes)

  size = plots.SIZE[0], max(plots.SIZE[1], 0.9 + 0.26 * len(names))
  return Figure(
    title,
    plots.svg(title, draw, size),
    'Good: long bars of equal length; a class of little recall is one that the'
    ' votes forget, one of little precision is one that they fall into.',
    _scores(names, scores),
  )


def _scores(
  names: list[str], scores: pseudo_label_stats_lib.Scores
) -> dict[str, Any]:
  return {
    'class': list(names),
    'precision': plots.rounded(scores.precision),
    'recall': plots.rounded(scores.recall),
    'predicted': scores.predicted.tolist(),
    'actual': scores.actual.tolist(),
  }


def _extremes(
  names: list[str], scores: pseudo_label_stats_lib.Scores
) -> Iterator[Block]:
  title = 'Recall of the classes, worst to best'
  recall = np.sort(scores.recall[np.isfinite(scores.recall)])
  precision = np.sort(scores.precision[np.isfinite(scores.precision)])

  def rank(values: np.ndarray) -> np.ndarray:
    return 100 * np.linspace(0, 1, max(len(values), 2))[: len(values)]

  lines = [
    plots.Line(label, *plots.thinned(rank(values), 100 * values))
    for label, values in (('recall', recall), ('precision', precision))
  ]
  yield Figure(
    title,
    plots.lines(title, lines, x='classes, %', y='%', bottom=0),
    'Good: the left end is above 0, so that no class is forgotten.',
    compared.data(lines),
  )
  order = np.argsort(scores.recall)
  order = order[np.isfinite(scores.recall[order])]
  for title, chosen in (
    ('Classes of least recall', order[:_LISTED]),
    ('Classes of most recall', order[::-1][:_LISTED]),
  ):
    yield Table(
      title,
      ('class', 'recall', 'precision', 'rows that are', 'predicted'),
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
      'Of few rows a share says little.',
    )


def _matrix(names: list[str], known: Guesses) -> Figure:
  title = 'Confusion matrix'
  counts = pseudo_label_stats_lib.confusion(known, len(names))
  share = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)

  def draw(axes: Any) -> None:
    image = axes.imshow(share, cmap='Blues', vmin=0, vmax=100)
    ticks = [plots.short(name, 12) for name in names]
    axes.set_xticks(range(len(names)), ticks, rotation=90)
    axes.set_yticks(range(len(names)), ticks)
    axes.set_xlabel('predicted')
    axes.set_ylabel('true')
    if len(names) <= 12:
      for row, line in enumerate(share):
        for column, value in enumerate(line):
          axes.text(
            column, row, f'{value:.0f}', ha='center', va='center', fontsize=7,
            color='white' if value > 55 else 'black',
          )  # fmt: skip
    bar = axes.figure.colorbar(image, shrink=0.8)
    bar.set_label('of the true class, %')
    bar.outline.set_visible(False)

  return Figure(
    title,
    plots.svg(title, draw, (plots.SIZE[0], 4.4)),
    'Good: a dark diagonal on a pale ground; a dark column is a class that'
    ' attracts what is not of it.',
    {'class': list(names), 'true_by_predicted': counts.tolist()},
  )


def _mistakes(names: list[str], known: Guesses) -> Table:
  actual = np.bincount(known.true, minlength=len(names))
  return Table(
    'Most frequent mistakes',
    ('true', 'predicted', 'rows', 'of the true class'),
    [
      (names[a], names[b], f'{n:,}', formatting.percent(n / actual[a]))
      for a, b, n in pseudo_label_stats_lib.confused(known, _LISTED)
    ],
    'Good: classes that look alike to a person too.',
    folded=len(names) <= DRAWN,
  )
