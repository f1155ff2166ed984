"""Mean of a figure over seeds, and how far it may be off."""

from collections.abc import Sequence
import math
import statistics
from typing import NamedTuple


class Spread(NamedTuple):
  """A figure over seeds.

  Attributes:
    mean: its mean.
    interval: half the width of the mean's 95 % confidence interval, by
      Student's t with n - 1 degrees of freedom; None where n is 1.
    values: the n figures.
  """

  mean: float
  interval: float | None
  values: tuple[float, ...]


def of(values: Sequence[float | None]) -> Spread | None:
  """The spread of the figures that are known, or None where none is."""
  known = tuple(x for x in values if x is not None)
  if not known:
    return None
  if len(known) == 1:
    return Spread(known[0], None, known)
  from scipy import stats

  quantile = float(stats.t.ppf(0.975, len(known) - 1))
  error = statistics.stdev(known) / math.sqrt(len(known))
  return Spread(statistics.mean(known), quantile * error, known)
