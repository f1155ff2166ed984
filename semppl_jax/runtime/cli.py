"""What the programs share: joining processes, and errors as one sentence."""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import logging
import os
import re
import signal
import sys
from typing import NoReturn

from absl import flags, logging as absl_logging
import jax

from semppl_jax.runtime import alarm, errors

_DISTRIBUTED = flags.DEFINE_boolean(
  'distributed',
  False,
  'Join the other processes of the run: found by themselves on TPU pods,'
  ' SLURM and Open MPI, else named by the three flags below.',
)
_COORDINATOR = flags.DEFINE_string('coordinator', None, 'HOST:PORT.')
_PROCESSES = flags.DEFINE_integer('processes', None, 'Number of processes.')
_PROCESS = flags.DEFINE_integer('process', None, 'Index of this process.')

_JOIN_SECONDS = flags.DEFINE_integer(
  'join_seconds', 300, 'How long to wait for the other processes.', 1
)

# The last: asked to stop before the end; the same command goes on. It is the
# EX_TEMPFAIL of sysexits.h, which schedulers can tell from a failure.
OK, FAILED, BAD_INPUT, STOPPED = 0, 1, 2, 75
_GO_ON = (
  'Checkpoints written before are whole; the same command goes on from the'
  ' newest.'
)


def guarded(work: Callable[[], int], what_is_left: str = _GO_ON) -> int:
  """Does the work of a program and returns its exit status.

  Args:
    work: returns the status. What it raises is printed as one sentence, where
      it is one of this project's errors or one of the system's.
    what_is_left: said where the system fails or somebody stops the program.
  """
  _quiet()
  named = (_COORDINATOR, _PROCESSES, _PROCESS)
  if not _DISTRIBUTED.value and any(flag.value is not None for flag in named):
    return complain(
      '--coordinator, --processes and --process need --distributed.', BAD_INPUT
    )
  from semppl_jax.runtime import cache, distributed

  cache.keep()
  try:
    if _DISTRIBUTED.value:
      distributed.join(
        _COORDINATOR.value,
        _PROCESSES.value,
        _PROCESS.value,
        _JOIN_SECONDS.value,
        _leave,
      )
    status = _reported(work, what_is_left)
  except distributed.JoinError as error:
    status = complain(error, BAD_INPUT)
  if status in (FAILED, BAD_INPUT) and jax.distributed.is_initialized():
    distributed.part()
    _exit(status)
  return status


def _reported(work: Callable[[], int], what_is_left: str) -> int:
  """Does the work and says what it raises."""
  # After jax.distributed, which must come before any device is touched.
  from semppl_jax.config import loading
  from semppl_jax.models import weights
  from semppl_jax.runtime import device_memory, distributed, files
  from semppl_jax.training import checkpoint, experiment, nonfinite

  try:
    return work()
  except (
    experiment.InputError,
    checkpoint.MismatchError,
    weights.WeightsError,
    loading.ConfigError,
    files.WorkdirError,
  ) as error:
    return complain(error, BAD_INPUT)
  except nonfinite.NonFiniteError as error:
    return complain(error, FAILED)
  except checkpoint.WriteError as error:
    _leave(str(error))
  except jax.errors.JaxRuntimeError as error:
    reason = errors.first_line(error)
    if device_memory.no_room(error):
      _leave(f'{device_memory.FULL} ({reason}). {what_is_left}')
    if not distributed.lost(error):
      raise
    _leave(f'Another process of the run is gone ({reason}). {_GO_ON}')
  except OSError as error:
    _leave(f'Reading or writing failed: {error}. {what_is_left}')
  except KeyboardInterrupt:
    _leave(f'Stopped at once. {what_is_left}')


@contextlib.contextmanager
def clock(minutes: float | None) -> Iterator[None]:
  """Asks this process to stop, as by SIGTERM, when its time is over."""
  if not minutes:
    yield
    return
  with alarm.after(60 * minutes, os.kill, os.getpid(), signal.SIGTERM):
    yield


def parse(argv: Sequence[str]) -> list[str]:
  """Parses the flags of a program that has no config; returns other arguments.

  A mistake in a flag is printed as one sentence, with exit status 2.
  """
  try:
    return flags.FLAGS(argv)
  except flags.Error as error:
    sys.exit(complain(' '.join(str(error).split()), BAD_INPUT))


def parse_with_config(argv: Sequence[str]) -> list[str]:
  """Parses the flags of a program whose `--config` may be missing.

  A mistake in a flag is printed as one sentence, with exit status 2.
  """
  from semppl_jax.config import loading

  try:
    if any(re.match(r'--?(no)?config\b', argument) for argument in argv):
      return loading.parse_flags(argv)
    rest = flags.FLAGS(argv)
    if rest[1:]:
      raise loading.ConfigError(f'{rest[1]!r} is no flag; flags begin with --.')
    return rest
  except (loading.ConfigError, flags.Error) as error:
    sys.exit(complain(' '.join(str(error).split()), BAD_INPUT))


def complain(error: Exception | str, status: int) -> int:
  """Prints an error and returns the exit status."""
  print(f'semppl_jax: {error}', file=sys.stderr)  # noqa: T201
  return status


def _leave(error: str) -> NoReturn:
  """Ends the program at once, without the destructors of failed writes."""
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
