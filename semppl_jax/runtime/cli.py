"""Shared frame of the commands: flags, processes, and errors as one sentence.

An error of the package (`errors.ProgramError`) is printed without a traceback
and decides the exit status.
"""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import logging
import os
import signal
import sys
from typing import NoReturn

from absl import app, flags, logging as absl_logging
import jax

from semppl_jax.runtime import cache, device_memory, distributed, signals
from semppl_jax.runtime.errors import (
  BAD_INPUT,
  complain,
  FAILED,
  first_line,
  ProgramError,
)

_DISTRIBUTED = flags.DEFINE_boolean(
  'distributed',
  False,
  'Join the other processes of the run: found automatically on TPU pods, SLURM'
  ' and Open MPI, otherwise named by the three flags below.',
)
_COORDINATOR = flags.DEFINE_string('coordinator', None, 'HOST:PORT.')
_PROCESSES = flags.DEFINE_integer('processes', None, 'Number of processes.')
_PROCESS = flags.DEFINE_integer('process', None, 'Index of this process.')

_JOIN_SECONDS = flags.DEFINE_integer(
  'join_seconds', 300, 'How long to wait for the other processes.', 1
)

_RESUME = (
  'Checkpoints written before are complete; the same command continues from the'
  ' newest.'
)


def start(
  main: Callable[[list[str]], int],
  parse: Callable[[Sequence[str]], list[str]] = flags.FLAGS,
) -> None:
  """Parses the flags, calls `main` and exits with the status that it returns.

  A mistake in a flag is printed as one sentence, with exit status 2.

  Args:
    main: takes the arguments that are no flags.
    parse: parses the flags: `config.loading.parse_flags` for a command with
      `--config`.
  """

  def parse_or_exit(argv: Sequence[str]) -> list[str]:
    try:
      return parse(argv)
    except (ProgramError, flags.Error) as error:
      sys.exit(complain(' '.join(str(error).split()), BAD_INPUT))

  app.run(main, flags_parser=parse_or_exit)


def run_cli(work: Callable[[], int], failure_hint: str = _RESUME) -> int:
  """Does the work of a command and returns its exit status.

  Args:
    work: returns the status. An error of the package or of the system that it
      raises is printed as one sentence.
    failure_hint: added where the system fails or a user interrupts: what was
      saved, and what to do next.
  """
  _quiet()
  named = (_COORDINATOR, _PROCESSES, _PROCESS)
  if not _DISTRIBUTED.value and any(flag.value is not None for flag in named):
    return complain(
      '--coordinator, --processes and --process need --distributed.', BAD_INPUT
    )
  cache.enable_compilation_cache()
  try:
    if _DISTRIBUTED.value:
      distributed.join(
        _COORDINATOR.value,
        _PROCESSES.value,
        _PROCESS.value,
        _JOIN_SECONDS.value,
        _abort,
      )
    status = _report_errors(work, failure_hint)
  except distributed.JoinError as error:
    status = complain(error, BAD_INPUT)
  if status in (FAILED, BAD_INPUT) and jax.distributed.is_initialized():
    distributed.shutdown_barrier()
    _exit(status)
  return status


def _report_errors(work: Callable[[], int], failure_hint: str) -> int:
  try:
    return work()
  except ProgramError as error:
    if error.abort:
      _abort(str(error))
    if str(error):
      complain(error, error.exit_status)
    return error.exit_status
  except jax.errors.JaxRuntimeError as error:
    reason = first_line(error)
    if device_memory.is_out_of_memory(error):
      _abort(f'{device_memory.FULL} ({reason}). {failure_hint}')
    if not distributed.is_peer_failure(error):
      raise
    _abort(f'Another process of the run is gone ({reason}). {_RESUME}')
  except OSError as error:
    _abort(f'Reading or writing failed: {error}. {failure_hint}')
  except KeyboardInterrupt:
    _abort(f'Stopped at once. {failure_hint}')


@contextlib.contextmanager
def stop_after(minutes: float | None) -> Iterator[None]:
  """Sends this process SIGTERM when its time is over; None: no limit."""
  if not minutes:
    yield
    return
  with signals.timer(60 * minutes, os.kill, os.getpid(), signal.SIGTERM):
    yield


def _abort(error: str) -> NoReturn:
  """Exits at once, without the destructors of failed writes."""
  _exit(complain(error, FAILED))


def _exit(status: int) -> NoReturn:
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(status)


def _quiet() -> None:
  """Shows this program's own messages and errors, not those of libraries."""
  absl_logging.set_verbosity(absl_logging.FATAL)
  handler = absl_logging.get_absl_handler()
  handler.setFormatter(logging.Formatter('%(message)s'))
  logging.getLogger('semppl_jax').setLevel(logging.INFO)
  # JAX warns of an accelerator that it cannot use.
  logging.getLogger('jax').setLevel(logging.WARNING)
