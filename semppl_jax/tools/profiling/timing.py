"""Times of calls, and of a compiled train step."""

from collections.abc import Callable, Mapping
import time
from typing import NamedTuple

import jax
import numpy as np

from semppl_jax.training import aot
from semppl_jax.training.aot import AbstractRun
from semppl_jax.training.train_step import StepInput


class Times(NamedTuple):
  """Milliseconds of some calls: median, extremes and percentiles."""

  median_ms: float
  min_ms: float
  max_ms: float
  p10_ms: float
  p90_ms: float
  calls: int


def measure(
  calls: Mapping[str, Callable[[], object]],
  rounds: int,
  warmup: int,
  clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Times]:
  """Times calls in turn, so that a slower phase of the machine hits them all.

  Args:
    calls: functions that return when their work is done.
    rounds: timed calls of each, 1 or more.
    warmup: calls of each before these.
    clock: returns seconds.
  """
  seconds = {name: [] for name in calls}
  for turn in range(warmup + rounds):
    for name, call in calls.items():
      start = clock()
      call()
      if turn >= warmup:
        seconds[name].append(clock() - start)
  return {name: _times(values) for name, values in seconds.items()}


def _times(seconds: list[float]) -> Times:
  low, p10, median, p90, high = (
    1e3 * float(x) for x in np.percentile(seconds, (0, 10, 50, 90, 100))
  )
  return Times(median, low, high, p10, p90, len(seconds))


class CompiledStep:
  """Compiled train step that keeps its own state; each call takes one step.

  Attributes:
    compiled: the program.
    trace_seconds: time of tracing.
    compile_seconds: time of compiling.
  """

  def __init__(self, run: AbstractRun, inputs: StepInput):
    """Compiles the step as a run does, and initializes a state."""
    step = aot.abstract_step(run)
    self._inputs = inputs
    self._state = jax.jit(step.init, out_shardings=step.state_sharding)()
    start = time.perf_counter()
    lowered = aot.lower(step, self._state, inputs)
    self.trace_seconds = time.perf_counter() - start
    self.compiled = lowered.compile()
    self.compile_seconds = time.perf_counter() - start - self.trace_seconds

  def __call__(self) -> None:
    """Takes a step, and returns when it is done."""
    results = self.compiled(self._state, self._inputs)
    self._state, _ = jax.block_until_ready(results)
