"""Work on images, piece by piece, by this process or by several."""

from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
import datetime
import logging
import multiprocessing
import os
import signal
import threading
import time
from typing import Any

import jax

from semppl_jax.runtime.errors import ProgramError

_log = logging.getLogger(__name__)
_LINE_SECONDS = 10.0


class WorkerError(ProgramError, RuntimeError):
  """A worker process ended before its work was done."""


def run(
  function: Callable[..., Any],
  work: Sequence[tuple[Any, ...]],
  sizes: Sequence[int],
  processes: int,
) -> list[Any]:
  """Returns what a function makes of each piece of work, in their order.

  Args:
    function: of a module, since it may run in another process.
    work: its arguments, plain values.
    sizes: images of each piece, of which a line now and then tells.
    processes: 1: this one alone.

  Raises:
    WorkerError: a worker was ended, as when memory is short.
    Exception: what the function raises.
  """
  progress = _Progress(sum(sizes))
  results: dict[int, Any] = {}
  for number, result in _results(function, work, min(processes, len(work))):
    results[number] = result
    progress.add(sizes[number])
  return [results[number] for number in range(len(work))]


def _results(
  function: Callable[..., Any],
  work: Sequence[tuple[Any, ...]],
  processes: int,
) -> Iterator[tuple[int, Any]]:
  """Yields number and result of each piece, as they are done."""
  if processes == 1:
    for number, arguments in enumerate(work):
      yield number, function(*arguments)
    return
  # Spawned: TensorFlow does not survive a fork.
  pool = futures.ProcessPoolExecutor(
    processes, multiprocessing.get_context('spawn'), _start_worker
  )
  try:
    waiting = {
      pool.submit(function, *arguments): number
      for number, arguments in enumerate(work)
    }
    for done in futures.as_completed(waiting):
      yield waiting[done], done.result()
  except futures.BrokenExecutor as error:
    raise WorkerError(
      'A worker was ended, as when memory is short; take fewer --workers. The'
      ' files written before are whole, and the same command goes on.'
    ) from error
  finally:
    pool.shutdown(wait=False, cancel_futures=True)


def _start_worker() -> None:
  # One process at a time can have an accelerator.
  jax.config.update('jax_platforms', 'cpu')
  # Ctrl-C reaches all processes; the first one decides.
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  logging.basicConfig(format='%(message)s')
  threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
  parent = multiprocessing.parent_process()
  assert parent is not None
  parent.join()
  os._exit(1)


class _Progress:
  """A line now and then."""

  def __init__(self, total: int):
    self._total, self._done = total, 0
    self._began = self._last = time.monotonic()

  def add(self, images: int) -> None:
    self._done += images
    now = time.monotonic()
    if now - self._last < _LINE_SECONDS and self._done < self._total:
      return
    self._last = now
    pace = (now - self._began) / self._done
    left = datetime.timedelta(seconds=round(pace * (self._total - self._done)))
    _log.info('%d of %d images, left %s', self._done, self._total, left)
