"""One run of a comparison, whose failure does not lose the others."""

from collections.abc import Callable
import logging
import pathlib
import shutil
from typing import Any

from semppl_jax.config import loading
from semppl_jax.runtime import errors
from semppl_jax.runtime.errors import ProgramError, StoppedError
from semppl_jax.runtime.signals import Interrupts
from semppl_jax.tools.comparison.experiments import config_of, Entry
from semppl_jax.training import (
  checkpoint,
  loop,
)

_log = logging.getLogger(__name__)
# Enough for three readings of the clock after one that is left out.
_TIMED, _READ_EVERY = 40, 10


class FailedError(ProgramError, RuntimeError):
  """A run failed, and others may not; the message says how."""


def run(
  config: Any, workdir: pathlib.Path, interrupts: Interrupts
) -> dict[str, Any]:
  """Trains, or goes on, or finds the run finished; returns its summary.

  Raises:
    StoppedError: it was asked to stop.
    FailedError: the run failed.
    loading.ConfigError: the directory holds another run.
  """
  result = _attempt(lambda: loop.run(config, workdir, interrupts=interrupts))
  if result is None:
    raise StoppedError
  return result


def steps_per_minute(
  entry: Entry, scratch: pathlib.Path, interrupts: Interrupts
) -> float:
  """Times some steps with real batches, in a run that is thrown away.

  Args:
    entry: the config.
    scratch: directory of that run; what an earlier one left there is removed.
    interrupts: those of the comparison.

  Raises:
    StoppedError: it was asked to stop.
    FailedError: it failed.
  """
  config = loading.copy(config_of(entry, 0, _TIMED, _TIMED, False))
  config.log_every = f'{_READ_EVERY} steps'
  config.eval.every = '0 steps'
  # So short a run has no room for a warm-up, and may do without it: what it
  # learns does not matter.
  config.optimizer.warmup = '0 steps'
  config.on_nonfinite = 'skip'
  shutil.rmtree(scratch, ignore_errors=True)
  summary = run(config.lock(), scratch, interrupts)
  shutil.rmtree(scratch)
  return 60 * summary['images_per_second'] / config.batch_size


def _attempt(work: Callable[[], Any]) -> Any:
  try:
    return work()
  except checkpoint.MismatchError as error:
    raise loading.ConfigError(
      str(error).replace('another --workdir', 'another --out')
    ) from error
  except (checkpoint.WriteError, OSError):
    raise  # As of a full disk: the others would fail too.
  except (errors.InputError, errors.NonFiniteError) as error:
    raise FailedError(str(error)) from error
  except Exception as error:  # Whatever a method or a device fails with.
    _log.exception('This run failed:')
    reason = (str(error).strip().splitlines() or [''])[0]
    raise FailedError(f'{type(error).__name__}: {reason}') from error
