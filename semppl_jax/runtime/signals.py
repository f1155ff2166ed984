"""Signals that ask a program to stop, noted so that it can save and leave."""

from collections.abc import Callable, Iterator
import contextlib
import os
import signal

import jax
from jax.experimental import multihost_utils


class Interrupts:
  """Notes SIGTERM and SIGINT while it is entered."""

  def __enter__(self) -> 'Interrupts':
    self._asked = False
    self._old = {}
    if jax.process_count() > 1:  # The coordinator listens for all of them.
      return self
    for number in (signal.SIGTERM, signal.SIGINT):
      with contextlib.suppress(ValueError):  # Not in the main thread.
        self._old[number] = signal.signal(number, self._note)
    return self

  def __exit__(self, *_) -> None:
    for number, handler in self._old.items():
      signal.signal(number, handler)

  def _note(self, number, frame) -> None:
    del frame
    self._asked = True
    if number == signal.SIGINT:
      # Not the logger, which may be in the middle of a line.
      os.write(2, b'\nStopping after this step; again to stop at once.\n')
      signal.signal(number, self._old[number])

  def noted(self) -> bool:
    """Whether a signal came; always False where processes must agree."""
    return self._asked

  def asked(self, step: int) -> bool:
    """Whether to stop after this step, the same on every process."""
    if jax.process_count() == 1:
      return self._asked
    return multihost_utils.reached_preemption_sync_point(step)


@contextlib.contextmanager
def at_once() -> Iterator[Callable[[], None]]:
  """Raises KeyboardInterrupt at SIGTERM too, as at Ctrl-C.

  Yields a function that raises it once more where a signal came: Python drops
  what is raised while its garbage collector calls back, as it does JAX.
  """
  came = False

  def stop(number, frame) -> None:
    nonlocal came
    del number, frame
    came = True
    raise KeyboardInterrupt

  def again() -> None:
    if came:
      raise KeyboardInterrupt

  numbers = (signal.SIGTERM, signal.SIGINT)
  old = {number: signal.signal(number, stop) for number in numbers}
  try:
    yield again
  finally:
    for number, handler in old.items():
      signal.signal(number, handler)
