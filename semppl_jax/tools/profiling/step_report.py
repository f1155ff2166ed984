"""What `bench` found, as a person reads it."""

from typing import Any

from semppl_jax.tools.compile import cost_analysis
from semppl_jax.tools.profiling import breakdown

_NO_PARTS = (
  'The programs that tell the parts do not fit this memory, although the step'
  ' does; try a smaller config.batch_size for them.'
)


def text(report: dict[str, Any]) -> str:
  """Returns the report as a person reads it: figures, then parts."""
  found = report.get('parts')
  rest = {k: v for k, v in report.items() if k not in ('parts', 'programs')}
  lines = [cost_analysis.table(rest)]
  if 'parts' in report:
    lines.append(_NO_PARTS if found is None else _parts_table(found))
  return '\n\n'.join(lines)


def _parts_table(found: dict[str, dict[str, Any]]) -> str:
  return breakdown.table({k: breakdown.Part(**v) for k, v in found.items()})
