"""Figure of accuracy by images seen and by time, a line per method."""

from collections.abc import Iterable
import os
from typing import TYPE_CHECKING

import numpy as np

from semppl_jax.report import plots
from semppl_jax.tools.comparison.markdown import Content

if TYPE_CHECKING:
  from matplotlib.figure import Figure

# Dashes in points: drawn, left out.
_BASELINES = (('0.35', (0, (7, 3))), ('0.55', (0, (2.5, 2))))
_PANELS = {'images': 'Images seen', 'minutes': 'Minutes of training'}


def save(content: Content, path: str | os.PathLike[str]) -> None:
  """Draws the figure into a PNG file."""
  draw(content).savefig(os.fspath(path), format='png', dpi=150)


def draw(content: Content) -> 'Figure':
  """Returns the figure, with two panels.

  Args:
    content: content of an `aggregate.Report`.
  """
  from matplotlib.backends.backend_agg import FigureCanvasAgg
  from matplotlib.figure import Figure
  from matplotlib.ticker import EngFormatter

  figure = Figure(figsize=(11, 5.4), layout='constrained')
  FigureCanvasAgg(figure)
  panels = dict(zip(_PANELS, figure.subplots(1, 2, sharey=True), strict=True))
  metric = f'knn/encoder/labelled/k{content["knn_k"]}'
  for axis, panel in panels.items():
    for place, (name, method) in enumerate(content['methods'].items()):
      x, y = _curves(method['runs'].values(), axis, metric)
      if not len(x):
        continue
      style = dict(
        color=plots.PALETTE[place % len(plots.PALETTE)],
        marker=plots.MARKERS[place % len(plots.MARKERS)],
      )
      label = f'{name} (labels only)' if method['labels_only'] else name
      panel.plot(x, y.mean(0), label=label, lw=1.8, ms=5, **style)
      if len(y) > 1:
        panel.fill_between(
          x, y.min(0), y.max(0), color=style['color'], alpha=0.13, lw=0
        )
    for (grey, dashes), (title, figures) in zip(
      _BASELINES, content['floors'].items(), strict=False
    ):
      panel.axhline(
        100 * figures['knn_labelled']['mean'],
        color=grey, ls=dashes, lw=1.4, label=title, zorder=1,
      )  # fmt: skip
    panel.set_xlabel(_PANELS[axis])
    panel.set_xlim(left=0)
    panel.grid(alpha=0.25)
    panel.spines[['top', 'right']].set_visible(False)
  panels['images'].xaxis.set_major_formatter(EngFormatter(sep=''))
  panels['images'].set_ylabel(
    f'k-NN top-1 among {content["labelled_images"]:,} labelled images, %'
  )
  handles, labels = panels['images'].get_legend_handles_labels()
  if handles:
    figure.legend(
      handles, labels, loc='outside lower center', frameon=False,
      ncols=_columns(labels),
    )  # fmt: skip
  figure.suptitle(_title(content), fontsize=10)
  return figure


def _title(content: Content) -> str:
  c = content
  seeds = c['seeds']
  over = f'mean and range of {seeds} seeds' if seeds > 1 else 'one seed'
  return (
    f'{c["budget"]} in batches of {c["batch_size"]:,}, {c["network"]},'
    f' {c["data"]}: {over}'
  )


def _columns(labels: list[str]) -> int:
  """Number of columns of a legend that is no wider than the figure."""
  widest = max(map(len, labels)) + 6  # With the line before the name.
  return max(1, min(len(labels), 150 // widest))


def _curves(
  runs: Iterable[Content], axis: str, metric: str
) -> tuple[np.ndarray, np.ndarray]:
  """Mean x [n] over the seeds, and accuracy in percent [seeds, n]."""
  curves = [
    [(at[axis], at['scores'][metric]) for at in run['curve']] for run in runs
  ]
  curves = [c for c in curves if c and all(x is not None for x, _ in c)]
  # A seed whose evaluations fell on other steps would not line up.
  points = min(map(len, curves), default=0)
  both = np.asarray([c[:points] for c in curves])
  if not both.size:
    return np.zeros(0), np.zeros((0, 0))
  return both[..., 0].mean(0), 100 * both[..., 1]
