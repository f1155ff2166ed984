"""Trains by a config: `python -m semppl_jax.main --config=FILE --workdir=DIR`.

Any field of the config is overridden as `--config.batch_size=256`. With
`--check` nothing is trained: it prints the data, the cost and every problem.
"""

import logging
import os
import sys
from typing import NoReturn

from absl import flags, logging as absl_logging
import jax

from semppl_jax import config_file

_CONFIG = config_file.define_flag('config')
_WORKDIR = flags.DEFINE_string('workdir', None, 'Directory of the run.')
_CHECK = flags.DEFINE_boolean('check', False, 'Print what would run, and stop.')
_DISTRIBUTED = flags.DEFINE_boolean(
  'distributed',
  False,
  'Join the other processes of the run: found by themselves on TPU pods,'
  ' SLURM and Open MPI, else named by the three flags below.',
)
_COORDINATOR = flags.DEFINE_string('coordinator', None, 'host:port.')
_PROCESSES = flags.DEFINE_integer('processes', None, 'Number of processes.')
_PROCESS = flags.DEFINE_integer('process', None, 'Index of this process.')

OK, FAILED, BAD_INPUT = 0, 1, 2
_GO_ON = (
  ' Checkpoints written before are whole; the same command goes on from the'
  ' newest.'
)


def main(_) -> int:
  """Runs what the flags say and returns the exit status."""
  _quiet()
  named = (_COORDINATOR, _PROCESSES, _PROCESS)
  if not _DISTRIBUTED.value and any(flag.value is not None for flag in named):
    return _complain(
      '--coordinator, --processes and --process need --distributed.', BAD_INPUT
    )
  if _DISTRIBUTED.value:
    jax.distributed.initialize(
      _COORDINATOR.value, _PROCESSES.value, _PROCESS.value
    )
  # After jax.distributed, which must come before any device is touched.
  from semppl_jax import checkpoint, job, nonfinite

  try:
    return _check() if _CHECK.value else _run()
  except (job.InputError, checkpoint.MismatchError) as error:
    return _complain(error, BAD_INPUT)
  except nonfinite.NonFiniteError as error:
    return _complain(error, FAILED)
  except checkpoint.WriteError as error:
    _leave(str(error))
  except OSError as error:
    _leave(f'Reading or writing failed: {error}.{_GO_ON}')
  except KeyboardInterrupt:
    _leave(f'Stopped at once.{_GO_ON}')


def _run() -> int:
  from semppl_jax import summary, train

  if not _WORKDIR.value:
    return _complain('--workdir=DIR says where the run goes.', BAD_INPUT)
  result = train.run(_CONFIG.value, _WORKDIR.value)
  if result is not None and jax.process_index() == 0:
    print(summary.describe(result))  # noqa: T201
  return OK


def _check() -> int:
  from semppl_jax import check

  text, good = check.describe(_CONFIG.value)
  print(text)  # noqa: T201
  return OK if good else BAD_INPUT


def _complain(error: Exception | str, status: int) -> int:
  print(f'semppl_jax: {error}', file=sys.stderr)  # noqa: T201
  return status


def _leave(error: str) -> NoReturn:
  """Ends the program at once, without the destructors of failed writes."""
  _complain(error, FAILED)
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(FAILED)


def _quiet() -> None:
  """Shows this program's own messages and errors, not those of libraries."""
  absl_logging.set_verbosity(absl_logging.FATAL)
  handler = absl_logging.get_absl_handler()
  handler.setFormatter(logging.Formatter('%(message)s'))
  logging.getLogger('semppl_jax').setLevel(logging.INFO)
  # JAX warns of an accelerator that it cannot use.
  logging.getLogger('jax').setLevel(logging.WARNING)


if __name__ == '__main__':
  config_file.run(main)
