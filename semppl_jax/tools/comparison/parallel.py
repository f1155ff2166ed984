"""Tasks in sequence, or in parallel on shares of one machine.

Small networks leave CPU cores, or most of a GPU, idle, so that parallel runs
take less time. Each has a process of its own, whose messages go into a file.
"""

import collections
from collections.abc import Callable, Iterable, Iterator, Sequence
import logging
import multiprocessing
from multiprocessing import connection
from multiprocessing.context import SpawnProcess
import os
import pathlib
from typing import Any, NamedTuple

import jax

from semppl_jax.config.loading import ConfigError
from semppl_jax.runtime.errors import StoppedError
from semppl_jax.runtime.signals import Interrupts
from semppl_jax.tools.comparison.run import FailedError

_log = logging.getLogger(__name__)
_POLL_SECONDS = 0.5
Function = Callable[..., Any]


class Task(NamedTuple):
  """One call of a function; in parallel, its messages go to the file `log`."""

  title: str
  key: Any
  arguments: tuple[object, ...]
  log: pathlib.Path


def check(jobs: int) -> None:
  """Checks that a number of tasks can run in parallel.

  Raises:
    ConfigError: there are fewer cores, several processes or a TPU, which
      belongs to one process, or a GPU whose memory the first run would take.
  """
  if jobs == 1:
    return
  backend = jax.default_backend()
  if jax.process_count() > 1 or backend not in ('cpu', 'gpu'):
    raise ConfigError(
      f'--jobs={jobs} shares one host; runs on {backend} or in several'
      ' processes need --jobs=1.'
    )
  preallocate = os.environ.get('XLA_PYTHON_CLIENT_PREALLOCATE', 'true')
  if backend == 'gpu' and preallocate.lower() not in ('false', 'f', '0'):
    raise ConfigError(
      f'--jobs={jobs} on a GPU needs XLA_PYTHON_CLIENT_PREALLOCATE=false in the'
      ' environment; the first run would take the memory of the others.'
    )
  if jobs > len(_cores()):
    raise ConfigError(
      f'--jobs={jobs} needs a core for each run, and there are {len(_cores())}.'
    )


def map_unordered(
  function: Function,
  tasks: Iterable[Task],
  jobs: int,
  interrupts: Interrupts,
) -> Iterator[tuple[Any, Any]]:
  """Yields key and result of each task, in the order in which they end.

  Args:
    function: `(*arguments, interrupts) -> result`. It, its arguments and its
      results must be picklable.
    tasks: the tasks; each is taken when it is about to start.
    jobs: number of parallel tasks.
    interrupts: at a signal, running tasks are told to stop, and none starts.

  Returns:
    Pairs of key and result, or the `FailedError` of a task that failed.

  Raises:
    StoppedError: it was asked to stop; running tasks have saved their work.
    Exception: any other error of a task; the others are stopped.
  """
  if jobs > 1:
    yield from _in_parallel(function, tasks, jobs, interrupts)
    return
  for task in tasks:
    if interrupts.received():
      raise StoppedError
    _log.info('%s.', task.title)
    try:
      result = function(*task.arguments, interrupts)
    except FailedError as error:
      result = error
    yield task.key, result


class _Child(NamedTuple):
  task: Task
  cores: list[int]
  process: SpawnProcess
  receiver: connection.Connection


def _in_parallel(
  function: Function,
  tasks: Iterable[Task],
  jobs: int,
  interrupts: Interrupts,
) -> Iterator[tuple[Any, Any]]:
  free = collections.deque(_shares(_cores(), jobs))
  waiting = iter(tasks)
  running: list[_Child] = []
  try:
    while True:
      while free and (task := next(waiting, None)) is not None:
        running.append(_start(function, task, free.popleft()))
      if not running:
        return
      ended = connection.wait([x.receiver for x in running], _POLL_SECONDS)
      if interrupts.received():
        raise StoppedError
      for child in [x for x in running if x.receiver in ended]:
        running.remove(child)
        free.append(child.cores)
        yield child.task.key, _result(child)
  finally:
    for child in running:
      child.process.terminate()  # A run saves its work at this signal.
    for child in running:
      child.process.join()


def _start(function: Function, task: Task, cores: list[int]) -> _Child:
  context = multiprocessing.get_context('spawn')
  receiver, sender = context.Pipe(duplex=False)
  task.log.parent.mkdir(parents=True, exist_ok=True)
  process = context.Process(
    target=_work, args=(sender, cores, task.log, function, task.arguments)
  )
  process.start()
  sender.close()
  _log.info('%s: messages in %s.', task.title, task.log)
  return _Child(task, cores, process, receiver)


def _result(child: _Child) -> object:
  """Result of a task, or the `FailedError` that it ended with."""
  try:
    result = child.receiver.recv()
  except EOFError:
    child.process.join()
    code = child.process.exitcode
    return FailedError(f'Its process ended with exit status {code}.')
  child.process.join()
  if isinstance(result, Exception) and not isinstance(result, FailedError):
    raise result
  return result


def _work(
  sender: connection.Connection,
  cores: list[int],
  log: pathlib.Path,
  function: Function,
  arguments: tuple[object, ...],
) -> None:
  """Runs a task in a process of its own."""
  if hasattr(os, 'sched_setaffinity'):
    # Before the first use of a device, whose pool has a thread for each core.
    os.sched_setaffinity(0, cores)
  with log.open('a') as file:
    for stream in (1, 2):
      os.dup2(file.fileno(), stream)
  logging.basicConfig(format='%(asctime)s %(message)s')
  logging.getLogger('semppl_jax').setLevel(logging.INFO)
  with Interrupts() as interrupts:
    try:
      result = function(*arguments, interrupts)
    except Exception as error:
      result = error
  sender.send(result)


def _cores() -> list[int]:
  """Cores that this process may use."""
  if hasattr(os, 'sched_getaffinity'):
    return sorted(os.sched_getaffinity(0))
  return [*range(os.cpu_count() or 1)]


def _shares(cores: Sequence[int], jobs: int) -> list[list[int]]:
  """Divides cores into parts whose sizes differ by one at most."""
  return [[*cores[start::jobs]] for start in range(jobs)]
