"""Markdown tables of figures over several seeds."""

from collections.abc import Sequence
import statistics


def markdown(rows: Sequence[Sequence[str]]) -> str:
  """A table of rows of cells, of which the first row is the head."""
  head, *rest = rows
  lines = [head, ['---'] * len(head), *rest]
  return '\n'.join(f'| {" | ".join(row)} |' for row in lines)


def spread(values: Sequence[float | None]) -> str:
  """Mean, and over several values standard deviation, of shares in per cent."""
  known = [100 * v for v in values if v is not None]
  if not known:
    return ''
  mean = f'{statistics.mean(known):.1f}'
  if len(known) == 1:
    return mean
  return f'{mean} ± {statistics.stdev(known):.1f}'
