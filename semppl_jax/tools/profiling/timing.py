"""How long calls take, over and over."""

from collections.abc import Callable, Mapping
import time
from typing import Any, NamedTuple

import numpy as np


class Times(NamedTuple):
  """Milliseconds of a call: the middle, and how far the others are from it.

  Attributes:
    median_ms: as many calls took longer as did not.
    min_ms: the shortest call.
    max_ms: the longest call.
    p10_ms: a tenth of the calls took less.
    p90_ms: a tenth of the calls took more.
    calls: how many were timed.
  """

  median_ms: float
  min_ms: float
  max_ms: float
  p10_ms: float
  p90_ms: float
  calls: int


def measure(
  calls: Mapping[str, Callable[[], Any]],
  rounds: int,
  warmup: int,
  clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Times]:
  """Times some calls in turn, so that a machine that slows down is fair.

  Args:
    calls: what is timed; each returns when it is done.
    rounds: how often each is timed, 1 or more.
    warmup: rounds before these.
    clock: seconds since some moment.
  """
  seconds = {name: [] for name in calls}
  for turn in range(warmup + rounds):
    for name, call in calls.items():
      began = clock()
      call()
      if turn >= warmup:
        seconds[name].append(clock() - began)
  return {name: _times(each) for name, each in seconds.items()}


def _times(seconds: list[float]) -> Times:
  low, p10, middle, p90, high = (
    1e3 * float(x) for x in np.percentile(seconds, (0, 10, 50, 90, 100))
  )
  return Times(middle, low, high, p10, p90, len(seconds))
