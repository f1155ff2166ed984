"""Axes and curves as SVG that takes its colours from the page.

Matplotlib draws with colours that stand for roles; in the SVG they become CSS
variables, so that one drawing is right on light and on dark pages and in print.
The palette is that of Okabe and Ito, which most colour-blind eyes tell apart,
without the yellow that is lost on white; dashes tell curves apart as well.
"""

from collections.abc import Callable, Mapping, Sequence
import io
import re
from typing import Any, NamedTuple

import numpy as np

INK, FAINT = '#010203', '#040506'
SERIES = tuple(f'#0a0b0{n}' for n in range(8))
_ROLES = {INK: 'var(--ink)', FAINT: 'var(--faint)'} | {
  colour: f'var(--series-{n})' for n, colour in enumerate(SERIES)
}
# Of pictures, whose colours do not change with the page: ten classes that stay
# apart for colour-blind eyes (Petroff, arXiv 2107.02270), on light and dark.
FIXED = (
  '#3f90da', '#ffa90e', '#bd1f01', '#94a4a2', '#832db6',
  '#a96b59', '#e76300', '#b9ac70', '#717581', '#92dadd',
)  # fmt: skip
MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X', '*')
DASHES = ('-', (0, (6, 2)), (0, (2, 2)), (0, (6, 2, 1.5, 2)))
SIZE = (4.3, 3.0)  # Inches; a phone shows about as much.
_POINTS = 200


class Line(NamedTuple):
  """A curve.

  Attributes:
    label: its name.
    x: positions [n].
    y: values [n].
    mark: whether every point is marked.
    faint: whether it stands behind the others, without a name.
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
    title: said to who cannot see it.
    curves: what to draw.
    x: name of the horizontal axis, with its unit.
    y: name of the vertical one.
    levels: values to compare with, by name.
    bottom: where the vertical axis begins.
    log: whether it is logarithmic, where all values are positive.
  """

  def draw(axes: Any) -> None:
    from matplotlib.ticker import EngFormatter, NullFormatter

    named = [curve for curve in curves if not curve.faint]
    for curve in curves:
      if curve.faint:
        axes.plot(curve.x, curve.y, color=FAINT, lw=0.8, zorder=1)
    for place, curve in enumerate(named):
      axes.plot(
        curve.x, curve.y, label=short(curve.label), lw=1.6,
        color=SERIES[place % len(SERIES)],
        ls=DASHES[place // len(SERIES) % len(DASHES)],
        marker=MARKERS[place % len(MARKERS)] if curve.mark else None, ms=4,
      )  # fmt: skip
    for place, (name, value) in enumerate((levels or {}).items()):
      axes.axhline(
        value, color=INK, lw=1, ls=DASHES[1 + place % 3], label=short(name)
      )
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.xaxis.set_major_formatter(EngFormatter(sep=''))
    axes.grid(color=FAINT, lw=0.4)
    values = [v for c in curves for v in np.asarray(c.y) if np.isfinite(v)]
    if log and values and min(values) > 0:
      axes.set_yscale('log')
      axes.yaxis.set_major_formatter(lambda value, _: f'{value:g}')
      axes.yaxis.set_minor_formatter(NullFormatter())
    elif bottom is not None:
      axes.set_ylim(bottom=bottom)
    if named or levels:
      legend(axes)

  return svg(title, draw)


def legend(axes: Any) -> None:
  """Puts the names of the curves below the axes."""
  handles, labels = axes.get_legend_handles_labels()
  columns = max(1, min(3, 56 // (max(map(len, labels)) + 5)))
  axes.figure.legend(
    handles, labels, loc='outside lower center', frameon=False, ncols=columns,
    fontsize=8.5, handlelength=2.6,
  )  # fmt: skip


def svg(
  title: str,
  draw: Callable[[Any], None],
  size: tuple[float, float] = SIZE,
) -> str:
  """Returns what `draw` draws into axes as an `<svg>` element.

  Args:
    title: said to who cannot see it.
    draw: given `matplotlib.axes.Axes`.
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
  """An SVG file as an element of a page, in the page's colours."""
  text = text[text.index('<svg') :]
  text = re.sub(r'<metadata>.*?</metadata>', '', text, flags=re.DOTALL)
  used = set(re.findall(r'#([\w-]+)["\)]', text))
  text = re.sub(
    r' id="([\w.-]+)"', lambda m: m[0] if m[1] in used else '', text
  )
  for colour, role in _ROLES.items():
    text = text.replace(colour, role)
  viewbox = re.search(r'viewBox="[^"]*"', text)
  assert viewbox
  head = f'<svg {viewbox[0]} role="img" aria-label="{_attribute(title)}">'
  return head + text[text.index('>') + 1 :]


def _attribute(text: str) -> str:
  from markupsafe import escape

  return str(escape(text))


def thinned(
  x: np.ndarray, y: np.ndarray, most: int = _POINTS
) -> tuple[np.ndarray, np.ndarray]:
  """Means of neighbours, where a curve has more points than can be seen."""
  if len(x) <= most:
    return x, y
  parts = [*np.array_split(np.arange(len(x)), most)]
  return (
    np.asarray([x[part[-1]] for part in parts]),
    np.asarray([np.mean(y[part]) for part in parts]),
  )


def short(text: str, most: int = 28) -> str:
  """A name in at most so many characters; its beginning and end are kept."""
  if len(text) <= most:
    return text
  end = most // 3
  return f'{text[: most - end - 1]}\u2026{text[-end:]}'


def rounded(values: Any) -> list[float | None]:
  """Numbers for JSON, to five digits; None where one is not finite."""
  return [
    float(f'{v:.5g}') if np.isfinite(v) else None
    for v in np.asarray(values, float).ravel()
  ]
