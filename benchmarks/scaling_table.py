"""Tables of how a step scales, and where scaling stops."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from scaling_plan import MODES, Point, STRONG, WEAK

from semppl_jax.runtime.tables import markdown
from semppl_jax.tools.compile import table
from semppl_jax.tools.compile.topologies import Row

_TERMS = ('compute', 'memory', 'communication')
_HEAD = (
  'cores',
  'batch per core',
  *(f'{term}, ms' for term in _TERMS),
  'step at best, ms',
  'efficiency',
  'longest',
)
_LEAST = 0.5


class Scaled(NamedTuple):
  """Step on a number of cores.

  Attributes:
    cores: number of cores.
    batch_size: images per step, over all of them.
    terms_ms: milliseconds of each term of the roofline.
  """

  cores: int
  batch_size: int
  terms_ms: Mapping[str, float]

  @property
  def ms(self) -> float:
    """Milliseconds of the step: those of the longest term."""
    return max(self.terms_ms.values())

  @property
  def term(self) -> str:
    """Name of the longest term."""
    return table.longest(self.terms_ms)


def efficiency(step: Scaled, smallest: Scaled) -> float:
  """Returns images per core and second, over those on the fewest cores.

  With a fixed global batch it is that of strong scaling, with a fixed batch per
  core that of weak scaling.
  """
  ours, theirs = (x.batch_size / x.cores / x.ms for x in (step, smallest))
  return ours / theirs


def page(
  points: Sequence[Point],
  records: Mapping[Row, dict[str, Any]],
  versions: Mapping[str, str],
) -> str:
  """Returns a Markdown table of each mode, and a caption.

  Args:
    points: of both modes, fewest cores first.
    records: records of the rows.
    versions: versions of the compiler's packages.
  """
  parts = []
  for mode in MODES:
    mine = [x for x in points if x.mode == mode]
    steps = _steps(mine, records)
    rows = [_cells(x, records, steps) for x in mine]
    parts += [_title(mine), markdown([_HEAD, *rows]), _verdict(mode, steps)]
  made = ', '.join(f'{name} {version}' for name, version in versions.items())
  parts.append(
    'No step was timed: times are rooflines, a lower bound, with no latency and'
    ' all three terms at once. Efficiency is images per core and second, as a'
    ' share of those on the fewest cores that the step fits. Compiled by'
    f' {made}.'
  )
  return '\n\n'.join(parts)


def _title(points: Sequence[Point]) -> str:
  first = points[0]
  if first.mode == STRONG:
    return f'{STRONG}: {first.batch_size:,} images over all cores.'
  return f'{WEAK}: {first.batch_size // first.cores:,} images per core.'


def _steps(
  points: Sequence[Point], records: Mapping[Row, dict[str, Any]]
) -> dict[int, Scaled]:
  """Steps that fit, by number of cores."""
  steps = {}
  for point in points:
    report = point.row and (records.get(point.row) or {}).get('report')
    if report and report['fits']:
      terms = report['roofline_terms_ms']
      steps[point.cores] = Scaled(point.cores, point.batch_size, terms)
  return steps


def _cells(
  point: Point,
  records: Mapping[Row, dict[str, Any]],
  steps: Mapping[int, Scaled],
) -> tuple[str, ...]:
  step = steps.get(point.cores)
  if step is None:
    blank = ('',) * (len(_HEAD) - 3)
    share = f'{point.batch_size / point.cores:,.4g}'
    return (f'{point.cores:,}', share, *blank, _why_not(point, records))
  first = next(iter(steps.values()))
  return (
    f'{point.cores:,}',
    f'{point.batch_size // point.cores:,}',
    *(f'{step.terms_ms[term]:,.2f}' for term in _TERMS),
    f'{step.ms:,.2f}',
    f'{100 * efficiency(step, first):.1f} %',
    step.term,
  )


def _why_not(point: Point, records: Mapping[Row, dict[str, Any]]) -> str:
  if point.row is None:
    return f'a batch of {point.batch_size:,} cannot be shared out evenly'
  record = records.get(point.row)
  if record is None or record['report'] is None:
    return table.reason(record)
  hbm = record['report']['hbm_gib']
  return f'does not fit: {table.hbm(hbm)} GiB'


def _verdict(mode: str, steps: Mapping[int, Scaled]) -> str:
  known = [*steps.values()]
  if len(known) < 2:
    return f'{mode}: too few steps to compare.'
  stop = next((x for x in known if efficiency(x, known[0]) < _LEAST), None)
  if stop is None:
    return (
      f'{mode} goes on: efficiency is {100 * _LEAST:.0f} % or more from'
      f' {known[0].cores:,} to {known[-1].cores:,} cores.'
    )
  return (
    f'{mode} stops at {stop.cores:,} cores: efficiency is'
    f' {100 * efficiency(stop, known[0]):.1f} % of that on'
    f' {known[0].cores:,}, and {stop.term} takes longest.'
  )
