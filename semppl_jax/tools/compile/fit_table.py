"""The table of what each config takes on its slice, and whether it fits."""

from collections.abc import Mapping
import pathlib
from typing import Any

from semppl_jax.runtime.tables import markdown
from semppl_jax.tools.compile import costs, row_files
from semppl_jax.tools.compile.topologies import Row

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
  f'core-hours of {costs.EPOCHS} epochs, at least',
)
_NO_FIGURES = ('',) * (len(_HEAD) - 4)


def page(
  records: Mapping[Row, dict[str, Any] | None], versions: Mapping[str, str]
) -> str:
  """Returns the table in Markdown, and below it how it is to be read.

  Args:
    records: what is kept of each row; None: nothing yet.
    versions: of what compiles.
  """
  table = markdown([_HEAD, *(_cells(*item) for item in records.items())])
  return f'{table}\n\n{_caption(versions)}'


def reason(record: dict[str, Any] | None) -> str:
  """Returns why there are no figures, as a cell.

  Args:
    record: what is kept of a row without a report.
  """
  if record is None:
    return 'not yet run'
  text = record['reason'].replace('|', '\\|')
  outcome = record['outcome']
  return text if outcome == row_files.OVER else f'{outcome}: {text}'


def hbm(sizes: dict[str, Any]) -> str:
  """Returns what is needed of what there is, in GiB, as a cell.

  Args:
    sizes: `hbm_gib` of a report.
  """
  peak = '?' if sizes['peak'] is None else f'{sizes["peak"]:.2f}'
  return f'{peak} of {sizes["capacity"]:.4g}'


def _cells(row: Row, record: dict[str, Any] | None) -> tuple[str, ...]:
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


def _figures(report: dict[str, Any]) -> tuple[str, ...]:
  if 'roofline_ms' not in report:
    return _NO_FIGURES[1:]  # The compiler found no room, and says nothing else.
  batch, ms = report['batch_size'], report['roofline_ms']
  return (
    f'{report["tflop"]:.2f}',
    f'{report["gb_accessed"]:.1f}',
    f'{sum(report["collectives"].values()) / 1e9:.2f}',
    f'{ms:,.1f} ({costs.longest(report["roofline_terms_ms"])})',
    f'{costs.epochs_per_hour(ms, batch):,.1f}',
    f'{costs.core_hours(ms, batch, report["cores"]):,.0f}',
  )


def _caption(versions: Mapping[str, str]) -> str:
  made = ', '.join(f'{name} {version}' for name, version in versions.items())
  return (
    'Memory, arithmetic, bytes and milliseconds are those of one core and one'
    ' step. No step was timed: the time is a roofline, a lower bound, the'
    ' longest of arithmetic, memory traffic and communication, each at its peak'
    ' rate, all at once and without latency. An epoch is'
    f' {costs.IMAGES:,} images, those of ImageNet. Compiled by {made}.'
  )
