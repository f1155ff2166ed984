"""Plots as SVG that takes its colors from the page.

Matplotlib draws with colors that stand for roles; in the SVG they become CSS
variables, so that one drawing is right on light and on dark pages and in print.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
import io
import re
from typing import Any, NamedTuple, TYPE_CHECKING, TypeAlias

import numpy as np

from semppl_jax.report.components import Figure
from semppl_jax.report.run_record import RunRecord

if TYPE_CHECKING:
  import matplotlib.axes
  import matplotlib.image

Axes: TypeAlias = 'matplotlib.axes.Axes'
# Okabe and Ito's palette, safe for color blindness, without its yellow, which
# is too light on white. Markers and dashes work in print.
PALETTE = (
  '#0072B2', '#D55E00', '#009E73', '#CC79A7',
  '#E69F00', '#56B4E9', '#000000', '#882255',
)  # fmt: skip
# Markers and colors have no common factor: 72 pairs.
MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X', '*', 'h')
# Ten classes of a scatter plot, on light and on dark (Petroff, arXiv
# 2107.02270).
CLASS_PALETTE = (
  '#3f90da', '#ffa90e', '#bd1f01', '#94a4a2', '#832db6',
  '#a96b59', '#e76300', '#b9ac70', '#717581', '#92dadd',
)  # fmt: skip
# Placeholders, which `_inline` replaces by variables of page.css.
INK, FAINT = '#010203', '#040506'
SERIES = tuple(f'#0a0b0{n}' for n in range(len(PALETTE)))
_VARIABLES = {INK: 'var(--ink)', FAINT: 'var(--faint)'} | {
  color: f'var(--series-{n})' for n, color in enumerate(SERIES)
}
_DASHES = ('-', (0, (6, 2)), (0, (2, 2)), (0, (6, 2, 1.5, 2)))
SIZE = (4.3, 3.0)  # Inches; a phone shows about as much.
_MAX_POINTS = 200
# Runs whose curves have names; those of other runs are grey.
MAX_NAMED = 8


class Line(NamedTuple):
  """A curve.

  Attributes:
    label: its name.
    x: positions [n].
    y: values [n].
    mark: True to mark every point.
    faint: True to draw it behind the others, grey and without a name.
  """

  label: str
  x: np.ndarray
  y: np.ndarray
  mark: bool = False
  faint: bool = False


def lines(
  title: str,
  curves: Sequence[Line],
  *,
  x: str,
  y: str,
  levels: Mapping[str, float] | None = None,
  bottom: float | None = None,
  log: bool = False,
) -> str:
  """Draws curves, and horizontal lines at named levels.

  Args:
    title: description for screen readers.
    curves: curves to draw.
    x: name of the horizontal axis, with its unit.
    y: name of the vertical one.
    levels: values to compare with, by name.
    bottom: where the vertical axis begins.
    log: True for a logarithmic vertical axis, if all values are positive.
  """

  def draw(axes: Axes) -> None:
    from matplotlib.ticker import EngFormatter, NullFormatter

    named = [curve for curve in curves if not curve.faint]
    for curve in curves:
      if curve.faint:
        axes.plot(curve.x, curve.y, color=FAINT, lw=0.8, zorder=1)
    for place, curve in enumerate(named):
      axes.plot(
        curve.x, curve.y, label=short(curve.label), lw=1.6,
        color=SERIES[place % len(SERIES)],
        ls=_DASHES[place // len(SERIES) % len(_DASHES)],
        marker=MARKERS[place % len(MARKERS)] if curve.mark else None, ms=4,
      )  # fmt: skip
    for place, (name, value) in enumerate((levels or {}).items()):
      axes.axhline(
        value, color=INK, lw=1, ls=_DASHES[1 + place % 3], label=short(name)
      )
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.xaxis.set_major_formatter(EngFormatter(sep=''))
    axes.grid(color=FAINT, lw=0.4)
    values = [v for c in curves for v in c.y if np.isfinite(v)]
    if log and values and min(values) > 0:
      axes.set_yscale('log')
      axes.yaxis.set_major_formatter(lambda value, _: f'{value:g}')
      axes.yaxis.set_minor_formatter(NullFormatter())
    elif bottom is not None:
      axes.set_ylim(bottom=bottom)
    if named or levels:
      legend(axes)

  return svg(title, draw)


def metric_figure(
  title: str,
  runs: Sequence[RunRecord],
  metrics: Mapping[str, str],
  *,
  y: str,
  good: str,
  scale: float = 1.0,
  mark: bool = False,
  max_points: int = _MAX_POINTS,
  levels: Mapping[str, float] | None = None,
  bottom: float | None = None,
  log: bool = False,
) -> Iterator[Figure]:
  """Yields a figure of metrics over the training, or nothing without values.

  Args:
    title: its title.
    runs: one run, whose metrics all are drawn, or several, of which the first
      metric is.
    metrics: metrics by the name of their curve.
    y: name of the vertical axis, with its unit.
    good: one sentence that says what good looks like.
    scale: factor of the values.
    mark: True to mark every point, where each is a measurement of its own.
    max_points: points of a curve that is not marked; of more, neighbours are
      averaged.
    levels: see `lines`.
    bottom: see `lines`.
    log: see `lines`.
  """
  curves = []
  for label, run, metric, faint in _selected(runs, metrics):
    series = run.metrics[metric]
    x = series.step * (1 if _same_batch_size(runs) else run.batch_size)
    y_values = series.value * scale
    if not mark:
      x, y_values = thinned(x, y_values, max_points)
    curves.append(Line(label, x, y_values, mark, faint))
  if curves:
    axis = 'Steps' if _same_batch_size(runs) else 'Images seen'
    drawn = lines(
      title, curves, x=axis, y=y, levels=levels, bottom=bottom, log=log
    )
    yield Figure(title, drawn, good, line_data(curves))


def _selected(
  runs: Sequence[RunRecord], metrics: Mapping[str, str]
) -> list[tuple[str, RunRecord, str, bool]]:
  """Label, run, metric and `faint` of each curve."""
  if len(runs) == 1:
    return [
      (label, runs[0], metric, False)
      for label, metric in metrics.items()
      if metric in runs[0].metrics
    ]
  metric = metrics.get(first_label(runs, metrics), '')
  having = [run for run in runs if metric in run.metrics]
  return [
    (run.name, run, metric, place >= MAX_NAMED)
    for place, run in enumerate(having)
  ]


def _same_batch_size(runs: Sequence[RunRecord]) -> bool:
  return len({run.batch_size for run in runs}) == 1


def selection(runs: Sequence[RunRecord]) -> list[str]:
  """Returns the head of sentences about the first of many runs."""
  many = len(runs) > MAX_NAMED
  return [f'Of the first {MAX_NAMED} of {len(runs)} runs:'] if many else []


def metric_title(
  title: str, runs: Sequence[RunRecord], metrics: Mapping[str, str]
) -> str:
  """Returns a title; for several runs it names the metric that is drawn."""
  label = first_label(runs, metrics) if len(runs) > 1 else ''
  return f'{title}: {label}' if label else title


def first_label(runs: Sequence[RunRecord], metrics: Mapping[str, str]) -> str:
  """Returns the label of the first metric that any of the runs has, or ''."""
  return next(
    (k for k, m in metrics.items() if any(m in run.metrics for run in runs)), ''
  )


def line_data(curves: Sequence[Line]) -> dict[str, object]:
  """Returns the points of curves by name, as JSON holds them."""
  return {c.label: {'x': rounded(c.x), 'y': rounded(c.y)} for c in curves}


def figure(
  title: str,
  draw: Callable[[Axes], None],
  good: str,
  data: object,
  height: float = SIZE[1],
) -> Figure:
  """Returns a figure that `draw` draws, at least as high as others."""
  size = SIZE[0], max(SIZE[1], height)
  return Figure(title, svg(title, draw, size), good, data)


def legend(axes: Axes) -> None:
  """Puts the names of the curves below the axes."""
  handles, labels = axes.get_legend_handles_labels()
  columns = max(1, min(3, 56 // (max(map(len, labels)) + 5)))
  axes.get_figure(root=True).legend(  # pyright: ignore[reportOptionalMemberAccess]
    handles, labels, loc='outside lower center', frameon=False, ncols=columns,
    fontsize=8.5, handlelength=2.6,
  )  # fmt: skip


def colorbar(
  axes: Axes, image: 'matplotlib.image.AxesImage', label: str, **options
) -> None:
  """Adds a color bar without an outline."""
  bar = axes.figure.colorbar(image, **options)
  bar.set_label(label)
  bar.outline.set_visible(False)


def svg(
  title: str,
  draw: Callable[[Axes], None],
  size: tuple[float, float] = SIZE,
) -> str:
  """Returns a drawing as an `<svg>` element.

  Args:
    title: description for screen readers.
    draw: draws into the axes.
    size: width and height, inches.
  """
  import matplotlib
  from matplotlib.figure import Figure

  settings: Any = {
    'svg.fonttype': 'none',
    'svg.hashsalt': title,
    'text.parse_math': False,
    'font.family': 'sans-serif',
    'font.size': 9,
    'axes.edgecolor': FAINT,
    'axes.spines.top': False,
    'axes.spines.right': False,
    **dict.fromkeys(
      ('text.color', 'axes.labelcolor', 'xtick.color', 'ytick.color'), INK
    ),
  }
  with matplotlib.rc_context(settings):
    figure = Figure(figsize=size, layout='constrained')
    figure.patch.set_visible(False)
    axes = figure.subplots()
    axes.patch.set_visible(False)
    draw(axes)
    stream = io.StringIO()
    figure.savefig(
      stream, format='svg', dpi=150, metadata={'Date': None, 'Creator': None}
    )
  return _inline(stream.getvalue(), title)


def _inline(text: str, title: str) -> str:
  """Turns an SVG file into an element of a page, in the page's colors."""
  from markupsafe import escape

  text = text[text.index('<svg') :]
  text = re.sub(r'<metadata>.*?</metadata>', '', text, flags=re.DOTALL)
  used = set(re.findall(r'#([\w-]+)["\)]', text))
  text = re.sub(
    r' id="([\w.-]+)"', lambda m: m[0] if m[1] in used else '', text
  )
  for color, variable in _VARIABLES.items():
    text = text.replace(color, variable)
  viewbox = re.search(r'viewBox="[^"]*"', text)
  assert viewbox
  head = f'<svg {viewbox[0]} role="img" aria-label="{escape(title)}">'
  return head + text[text.index('>') + 1 :]


def thinned(
  x: np.ndarray, y: np.ndarray, max_points: int = _MAX_POINTS
) -> tuple[np.ndarray, np.ndarray]:
  """Averages neighbours where a curve has more points than can be seen."""
  if len(x) <= max_points:
    return x, y
  parts = [*np.array_split(np.arange(len(x)), max_points)]
  return (
    np.asarray([x[part[-1]] for part in parts]),
    np.asarray([np.mean(y[part]) for part in parts]),
  )


def short(text: str, length: int = 28) -> str:
  """Shortens a name in its middle to `length` characters."""
  if len(text) <= length:
    return text
  end = length // 3
  return f'{text[: length - end - 1]}\u2026{text[-end:]}'


def rounded(values: np.ndarray) -> list[float | None]:
  """Returns numbers of five digits for JSON; None where one is not finite."""
  return [
    float(f'{v:.5g}') if np.isfinite(v) else None
    for v in np.asarray(values, float).ravel()
  ]
