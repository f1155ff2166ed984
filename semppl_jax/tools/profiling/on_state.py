"""Compiled programs that run one after the other on the same train state."""

from collections.abc import Callable
import time
from typing import Any, NamedTuple

import jax

from semppl_jax.training.train_step import TrainState


class Program(NamedTuple):
  """A compiled program that takes its arguments from a train state.

  Programs may take the memory of their arguments: one state goes through all of
  them, and is there once.

  Attributes:
    compiled: the program.
    before: `(state) -> arguments`.
    after: `(state, results) -> state`, with what the program took replaced.
    trace_seconds: what tracing it took.
    compile_seconds: what compiling it took, less where JAX has it in a cache.
  """

  compiled: jax.stages.Compiled
  before: Callable[[TrainState], tuple[Any, ...]]
  after: Callable[[TrainState, Any], TrainState]
  trace_seconds: float
  compile_seconds: float

  def __call__(self, state: TrainState) -> TrainState:
    """Runs it, and returns the state that it leaves once all is done."""
    results = self.compiled(*self.before(state))
    return self.after(state, jax.block_until_ready(results))


def compiled(
  lower: Callable[..., jax.stages.Lowered],
  state: TrainState,
  before: Callable[[TrainState], tuple[Any, ...]],
  after: Callable[[TrainState, Any], TrainState],
) -> Program:
  """Traces and compiles a program.

  Args:
    lower: `(*arguments) -> jax.stages.Lowered`.
    state: a state, which stays.
    before: as in `Program`.
    after: as in `Program`.
  """
  began = time.perf_counter()
  lowered = lower(*before(state))
  traced = time.perf_counter()
  made = lowered.compile()
  ended = time.perf_counter()
  return Program(made, before, after, traced - began, ended - traced)


class Series:
  """Programs that are run one after the other on one state.

  Attributes:
    state: the one that the last of them left.
  """

  def __init__(self, state: TrainState):
    """Begins with a state, which the first program may take."""
    self.state = state

  def call(self, program: Program) -> Callable[[], None]:
    """Returns a call that runs a program."""

    def run() -> None:
      self.state = program(self.state)

    return run
