"""One run of a comparison, whose failure leaves the others."""

import logging
import pathlib
import shutil

import ml_collections

from semppl_jax.config import loading
from semppl_jax.runtime import errors
from semppl_jax.runtime.errors import ProgramError, StoppedError
from semppl_jax.runtime.signals import Interrupts
from semppl_jax.tools.comparison.experiments import Entry, run_config
from semppl_jax.training import checkpoint, loop
from semppl_jax.training.summary import Summary

_log = logging.getLogger(__name__)
# Enough for three readings of the clock after one that is left out.
_TIMED_STEPS, _LOG_EVERY = 40, 10


class FailedError(ProgramError, RuntimeError):
  """A run failed, and others may not; the message is the reason."""


def run(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  interrupts: Interrupts,
) -> Summary:
  """Trains, or resumes a run, and returns its summary.

  Raises:
    StoppedError: it was asked to stop.
    FailedError: the run failed.
    ConfigError: the directory holds another run.
  """
  try:
    summary = loop.run(config, workdir, interrupts=interrupts)
  except checkpoint.MismatchError as error:
    raise loading.ConfigError(
      str(error).replace('another --workdir', 'another --out')
    ) from error
  except (checkpoint.WriteError, OSError):
    raise  # The disk may be full: the others would fail too.
  except (errors.InputError, errors.NonFiniteError) as error:
    raise FailedError(str(error)) from error
  except Exception as error:  # Any failure of a method or a device.
    _log.exception('This run failed:')
    reason = (str(error).strip().splitlines() or [''])[0]
    raise FailedError(f'{type(error).__name__}: {reason}') from error
  if summary is None:
    raise StoppedError
  return summary


def steps_per_minute(
  entry: Entry, scratch: pathlib.Path, interrupts: Interrupts
) -> float:
  """Times some steps with real batches, in a run that is then deleted.

  Raises as `run`; the scratch directory is deleted before, too.
  """
  config = loading.copy(run_config(entry, 0, _TIMED_STEPS, _TIMED_STEPS))
  config.log_every = f'{_LOG_EVERY} steps'
  config.eval.every = '0 steps'
  # So short a run has no room for a warm-up, nor needs to learn anything.
  config.optimizer.warmup = '0 steps'
  config.on_nonfinite = 'skip'
  shutil.rmtree(scratch, ignore_errors=True)
  summary = run(config.lock(), scratch, interrupts)
  shutil.rmtree(scratch)
  return 60 * summary['images_per_second'] / config.batch_size
