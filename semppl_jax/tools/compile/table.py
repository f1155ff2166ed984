"""Table of what each config takes on its slice, and whether it fits."""

from collections.abc import Mapping
import pathlib

from semppl_jax.runtime import tables
from semppl_jax.tools.compile import job_runner
from semppl_jax.tools.compile.cost_analysis import Report
from semppl_jax.tools.compile.job_runner import Record
from semppl_jax.tools.compile.topologies import Row

IMAGES = 1_281_167  # Of ImageNet's train set.
EPOCHS = 300  # Of the paper's runs.
_MS_PER_HOUR = 3.6e6
_HEAD = (
  'config',
  'slice',
  'cores',
  'fits',
  'HBM peak, GiB',
  'TFLOP',
  'GB accessed',
  'GB in collectives',
  'roofline, ms',
  'epochs per hour, at most',
  f'core-hours of {EPOCHS} epochs, at least',
)
_NO_FIGURES = ('',) * (len(_HEAD) - 4)


def page(
  records: Mapping[Row, Record | None], versions: Mapping[str, str]
) -> str:
  """Returns the table in Markdown, with a caption; a record may be missing."""
  rows = [_cells(row, record) for row, record in records.items()]
  return f'{tables.markdown([_HEAD, *rows])}\n\n{_caption(versions)}'


def longest(terms_ms: Mapping[str, float]) -> str:
  """Returns the name of the longest term; of equal ones, the first."""
  return max(terms_ms, key=lambda name: terms_ms[name])


def epochs_per_hour(
  step_ms: float, batch_size: int, images: int = IMAGES
) -> float:
  """Returns epochs per hour, by the milliseconds of a step."""
  return _MS_PER_HOUR / step_ms * batch_size / images


def core_hours(
  step_ms: float, batch_size: int, cores: int, epochs: float = EPOCHS
) -> float:
  """Returns hours of ImageNet epochs, summed over the cores."""
  return cores * epochs / epochs_per_hour(step_ms, batch_size)


def reason(record: Record | None) -> str:
  """Returns why a record has no report, as a cell."""
  if record is None:
    return 'not yet run'
  text, outcome = record['reason'].replace('|', '\\|'), record['outcome']
  return text if outcome == job_runner.OVER_LIMIT else f'{outcome}: {text}'


def hbm(sizes: Mapping[str, float | None]) -> str:
  """Returns `hbm_gib` of a report as a cell: peak and capacity."""
  peak = '?' if sizes['peak'] is None else f'{sizes["peak"]:.2f}'
  return f'{peak} of {sizes["capacity"]:.4g}'


def _cells(row: Row, record: Record | None) -> tuple[str, ...]:
  name = pathlib.Path(row.config).stem
  report = record and record['report']
  if not report:
    return (name, row.topology, '', reason(record), *_NO_FIGURES)
  return (
    name,
    row.topology,
    f'{report["cores"]:,}',
    'yes' if report['fits'] else 'no',
    hbm(report['hbm_gib']),
    *_figures(report),
  )


def _figures(report: Report) -> tuple[str, ...]:
  if 'roofline_ms' not in report:
    return _NO_FIGURES[1:]  # Out of memory: the compiler reports no more.
  batch, ms = report['batch_size'], report['roofline_ms']
  return (
    f'{report["tflop"]:.2f}',
    f'{report["gb_accessed"]:.1f}',
    f'{sum(report["collectives"].values()) / 1e9:.2f}',
    f'{ms:,.1f} ({longest(report["roofline_terms_ms"])})',
    f'{epochs_per_hour(ms, batch):,.1f}',
    f'{core_hours(ms, batch, report["cores"]):,.0f}',
  )


def _caption(versions: Mapping[str, str]) -> str:
  made = ', '.join(f'{name} {version}' for name, version in versions.items())
  return (
    'Memory, arithmetic, bytes and milliseconds are those of one core and one'
    ' step. No step was timed: the time is a roofline, a lower bound, the'
    ' longest of arithmetic, memory traffic and communication, each at its peak'
    ' rate, all at once and without latency. An epoch is'
    f' {IMAGES:,} images, those of ImageNet. Compiled by {made}.'
  )
