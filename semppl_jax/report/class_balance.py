"""Whether every class gets its share of the pseudo-labels, over time."""

from typing import Any

import numpy as np

from semppl_jax.report import (
  plots,
  pseudo_label_stats as pseudo_label_stats_lib,
)
from semppl_jax.report.class_scores import DRAWN
from semppl_jax.report.components import Figure
from semppl_jax.report.pseudo_label_stats import Guesses
from semppl_jax.report.run_record import Course

_BINS = 12
_FEW = 5  # Rows of each class in a bin.


def figure(course: Course, found: Guesses, names: list[str]) -> Figure:
  """Shares of the classes against what they should be, over the steps.

  Args:
    course: the run, whose labels say what is to be expected where nothing else
      does.
    found: pseudo-labels, one at least.
    names: of the classes [C].
  """
  title = 'Class balance of the pseudo-labels over time'
  # In each bin a few of each class, or all that is seen is chance.
  bins = np.clip(len(found.label) // (_FEW * len(names)), 3, _BINS)
  steps, shares = pseudo_label_stats_lib.balance(found, len(names), int(bins))
  reference, of = _reference(course, found, len(names))
  with np.errstate(divide='ignore', invalid='ignore'):
    ratio = np.log2(shares / reference)
  chosen = _furthest(shares[-1], reference, DRAWN)
  shown = np.clip(np.nan_to_num(ratio, neginf=-3, posinf=3), -2, 2)

  def draw(axes: Any) -> None:
    image = axes.imshow(
      shown[:, chosen].T, cmap='PuOr_r', vmin=-2, vmax=2, aspect='auto'
    )
    axes.set_yticks(
      range(len(chosen)), [plots.short(names[c], 18) for c in chosen]
    )
    ticks = np.unique(np.linspace(0, len(steps) - 1, 5).astype(int))
    axes.set_xticks(ticks, [f'{steps[n]:,}' for n in ticks])
    axes.set_xlabel('until step')
    bar = axes.figure.colorbar(
      image, ticks=range(-2, 3), shrink=0.9,
      format=lambda v, _: f'x {2.0**v:g}',
    )  # fmt: skip
    bar.set_label(f'predicted, against {of}')
    bar.outline.set_visible(False)

  size = plots.SIZE[0], max(plots.SIZE[1], 1.1 + 0.24 * len(chosen))
  few = '' if len(names) <= DRAWN else f' The {len(chosen)} furthest from it.'
  return Figure(
    title,
    plots.svg(title, draw, size),
    'Good: pale, all through: each class is predicted as often as it occurs;'
    f' a row that darkens to the right runs away or dies out.{few}',
    {
      'step': steps.tolist(),
      'class': [names[c] for c in chosen],
      'share': [plots.rounded(row) for row in shares[:, chosen]],
      'reference': plots.rounded(reference[chosen]),
    },
  )


def _reference(
  course: Course, found: Guesses, classes: int
) -> tuple[np.ndarray, str]:
  """Share of each class that predictions are held against, and of what."""
  true = found.true[found.true >= 0]
  if len(true):
    return np.bincount(true, minlength=classes) / len(true), 'the true share'
  counts = np.zeros(classes)
  labelled = np.asarray(course.facts.get('labelled_per_class', ()), float)
  counts[: len(labelled)] = labelled[:classes]
  if not counts.sum():
    counts += 1
  return counts / counts.sum(), 'that of the labels'


def _furthest(
  share: np.ndarray, reference: np.ndarray, most: int
) -> np.ndarray:
  """Classes in their order; of many, those surest to be off the reference."""
  if len(share) <= most:
    return np.arange(len(share))
  # What is counted of a class scatters by the root of what is expected.
  off = np.abs(share - reference) / np.sqrt(np.maximum(reference, 1e-9))
  return np.sort(np.argsort(-off, kind='stable')[:most])
