"""Figures over several seeds, for a cell of a table."""

from collections.abc import Sequence
import statistics


def spread(values: Sequence[float | None]) -> str:
  """Mean, and over several values standard deviation, of shares in per cent."""
  known = [100 * v for v in values if v is not None]
  if not known:
    return ''
  mean = f'{statistics.mean(known):.1f}'
  if len(known) == 1:
    return mean
  return f'{mean} ± {statistics.stdev(known):.1f}'
