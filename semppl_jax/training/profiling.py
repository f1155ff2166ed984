"""Profiles of some steps of a run, by `jax.profiler`.

A profile shows the parts of the train step by their named scopes, each step on
the host, and the operations of the devices. TensorBoard's profile plugin and
Perfetto read it.
"""

from collections.abc import Callable, Iterator
import contextlib
import logging
import os
import re
from typing import NamedTuple

import jax
from jaxtyping import PyTree

from semppl_jax.runtime.errors import InputError
from semppl_jax.training import profile_scopes

_log = logging.getLogger(__name__)


class StepWindow(NamedTuple):
  """Steps to profile.

  Attributes:
    start: first step, counted from 1.
    count: number of steps.
  """

  start: int
  count: int

  def contains(self, step: int) -> bool:
    """Returns True if a step is to be profiled."""
    return self.start <= step < self.start + self.count


def parse(text: str | None) -> StepWindow | None:
  """Parses `--profile=STEP:COUNT`; no text, no profile.

  Raises:
    InputError: it is not of this form, or a number is 0.
  """
  if not text:
    return None
  match = re.fullmatch(r'(\d+):(\d+)', text)
  window = match and StepWindow(int(match[1]), int(match[2]))
  if not window or not all(window):
    raise InputError(
      f'--profile={text} must be STEP:COUNT, the first step and the number of'
      ' steps, both at least 1, as --profile=100:5.'
    )
  return window


class Profiler:
  """Traces the steps of a window, once in the life of a process."""

  def __init__(
    self, window: StepWindow | None, directory: str | os.PathLike[str]
  ):
    self._window, self._directory = window, os.fspath(directory)
    self._tracing = False

  @contextlib.contextmanager
  def step(self, step: int) -> Iterator[Callable[[PyTree], None]]:
    """Annotates a step on the host, and traces it if it is in the window.

    Yields:
      A function that takes the results of the step: at the end of the window
      the trace waits for them.
    """
    if self._window is None:
      yield lambda results: None
      return
    results = None

    def keep(value: PyTree) -> None:
      nonlocal results
      results = value

    inside = self._window.contains(step)
    if inside and not self._tracing:
      options = jax.profiler.ProfileOptions()
      # Each call of a Python function would hide the steps.
      options.python_tracer_level = 0
      jax.profiler.start_trace(self._directory, profiler_options=options)
      self._tracing = True
    with jax.profiler.StepTraceAnnotation('train', step_num=step):
      yield keep
    if self._tracing and not self._window.contains(step + 1):
      jax.block_until_ready(results)
      self.close()

  def close(self) -> None:
    """Writes the trace, if one is under way."""
    if self._tracing:
      self._tracing, self._window = False, None
      jax.profiler.stop_trace()
      if jax.default_backend() == 'cpu':
        profile_scopes.add_tracks(self._directory)
      _log.info(
        'Profile in %s; xprof --logdir=DIR of the package xprof shows it.',
        self._directory,
      )
