"""Work on pieces of a data set, in this process or in several."""

from collections.abc import Callable, Sequence
from concurrent import futures
import datetime
import logging
import multiprocessing
import os
import signal
import threading
import time
from typing import TypeVar

import jax

from semppl_jax.runtime.errors import ProgramError

_log = logging.getLogger(__name__)
_LOG_SECONDS = 10.0
T = TypeVar('T')


class WorkerError(ProgramError, RuntimeError):
  """A worker process ended before its work was done."""


def run(
  function: Callable[..., T],
  work: Sequence[tuple],
  sizes: Sequence[int],
  processes: int,
) -> list[T]:
  """Returns the result of a function for each piece of work, in their order.

  Args:
    function: of a module, since it may run in another process.
    work: arguments of each call, which must be picklable.
    sizes: images of each piece, of which the progress is logged.
    processes: number of workers; 1 works in this process.

  Raises:
    WorkerError: a worker was killed, as when memory is short.
    Exception: any error of the function.
  """
  progress = _Progress(sum(sizes))
  if min(processes, len(work)) <= 1:
    results = []
    for arguments, size in zip(work, sizes, strict=True):
      results.append(function(*arguments))
      progress.add(size)
    return results
  # Spawned: TensorFlow does not survive a fork.
  pool = futures.ProcessPoolExecutor(
    min(processes, len(work)),
    multiprocessing.get_context('spawn'),
    _start_worker,
  )
  try:
    pending = [pool.submit(function, *arguments) for arguments in work]
    size_of = dict(zip(pending, sizes, strict=True))
    for done in futures.as_completed(pending):
      done.result()
      progress.add(size_of[done])
    return [future.result() for future in pending]
  except futures.BrokenExecutor as error:
    raise WorkerError(
      'A worker was killed, as when memory is short; take fewer --workers. The'
      ' files written before are complete, and the same command continues.'
    ) from error
  finally:
    pool.shutdown(wait=False, cancel_futures=True)


def _start_worker() -> None:
  # One process at a time can have an accelerator.
  jax.config.update('jax_platforms', 'cpu')
  # Ctrl-C reaches all processes; the first one decides.
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  logging.basicConfig(format='%(message)s')
  threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
  parent = multiprocessing.parent_process()
  assert parent is not None
  parent.join()
  os._exit(1)


class _Progress:
  """Logs a line every few seconds."""

  def __init__(self, total: int):
    self._total, self._done = total, 0
    self._start = self._last = time.monotonic()

  def add(self, images: int) -> None:
    self._done += images
    now = time.monotonic()
    if now - self._last < _LOG_SECONDS and self._done < self._total:
      return
    self._last = now
    seconds = (now - self._start) / self._done * (self._total - self._done)
    left = datetime.timedelta(seconds=round(seconds))
    _log.info('%d of %d images, %s left', self._done, self._total, left)
