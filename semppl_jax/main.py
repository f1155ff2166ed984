"""Trains by a config: `python -m semppl_jax.main --config=FILE --workdir=DIR`.

Any field of the config is overridden as `--config.batch_size=256`. With
`--check` nothing is trained: it prints the data, the cost and every problem.

Exit status: 0 at the end of the run, 75 where it was asked to stop before it
(SIGTERM, Ctrl-C, `--stop_after_minutes`), 2 on bad input, 1 on other failures.
"""

from absl import flags
import jax

from semppl_jax import config_file, program

_CONFIG = config_file.define_flag('config')
_WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Folder or bucket (gs://...) of the run.'
)
_MINUTES = flags.DEFINE_float(
  'stop_after_minutes',
  None,
  'Save and stop after so long; the same command goes on.',
  0.0,
)
_CHECK = flags.DEFINE_boolean('check', False, 'Print what would run, and stop.')


def main(_) -> int:
  """Runs what the flags say and returns the exit status."""
  return program.guarded(_check if _CHECK.value else _run)


def _run() -> int:
  from semppl_jax import summary, train

  if not _WORKDIR.value:
    raise config_file.ConfigError('--workdir=DIR says where the run goes.')
  with program.clock(_MINUTES.value):
    result = train.run(_CONFIG.value, _WORKDIR.value)
  if result is None:
    return program.STOPPED
  if jax.process_index() == 0:
    print(summary.describe(result))  # noqa: T201
  return program.OK


def _check() -> int:
  from semppl_jax import check

  text, good = check.describe(_CONFIG.value)
  print(text)  # noqa: T201
  return program.OK if good else program.BAD_INPUT


if __name__ == '__main__':
  config_file.run(main)
