"""Something to be done when a time is over."""

from collections.abc import Callable, Iterator
import contextlib
import threading
from typing import Any


@contextlib.contextmanager
def after(seconds: float, do: Callable[..., Any], *args: Any) -> Iterator[None]:
  """Does something after so long, in a thread of its own, unless left before.

  Args:
    seconds: how long.
    do: what to call.
    args: its arguments.
  """
  timer = threading.Timer(seconds, do, args)
  timer.daemon = True
  timer.start()
  try:
    yield
  finally:
    timer.cancel()
