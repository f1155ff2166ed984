"""Signals that ask a program to stop, and a timer."""

from collections.abc import Callable, Iterator
import contextlib
import os
import signal
import threading

import jax
from jax.experimental import multihost_utils


class Interrupts:
  """Records SIGTERM and SIGINT while it is entered, so that a run can save."""

  def __enter__(self) -> 'Interrupts':
    self._received = False
    self._old = {}
    if jax.process_count() > 1:  # The coordinator listens for all of them.
      return self
    for number in (signal.SIGTERM, signal.SIGINT):
      with contextlib.suppress(ValueError):  # Not in the main thread.
        self._old[number] = signal.signal(number, self._record)
    return self

  def __exit__(self, *_) -> None:
    for number, handler in self._old.items():
      signal.signal(number, handler)

  def _record(self, number, frame) -> None:
    del frame
    self._received = True
    if number == signal.SIGINT:
      # Not the logger, which may be in the middle of a line.
      os.write(2, b'\nStopping after this step; again to stop at once.\n')
      signal.signal(number, self._old[number])

  def received(self) -> bool:
    """Returns True if a signal came; always False with several processes."""
    return self._received

  def should_stop(self, step: int) -> bool:
    """Returns True, on every process alike, to stop after this step."""
    if jax.process_count() == 1:
      return self._received
    return multihost_utils.reached_preemption_sync_point(step)


@contextlib.contextmanager
def raise_at_signal() -> Iterator[Callable[[], None]]:
  """Raises KeyboardInterrupt at SIGTERM too, as at Ctrl-C.

  Yields:
    A function that raises it again if a signal came: Python drops what is
    raised while its garbage collector calls back, as it does JAX.
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


@contextlib.contextmanager
def timer(
  seconds: float, function: Callable[..., object], *args: object
) -> Iterator[None]:
  """Calls a function in a thread after some time, unless left before."""
  thread = threading.Timer(seconds, function, args)
  thread.daemon = True
  thread.start()
  try:
    yield
  finally:
    thread.cancel()
