"""Evaluates weights by one protocol or by all.

  python -m semppl_jax.evaluate --checkpoint=RUN_OR_FILE --protocol=all \
    --config=configs/evaluate/quickstart.py --workdir=DIR

Protocols: knn, soft_nn, linear, finetune, suncet, robustness, transfer, or all
that the data allows. `--baseline` adds to each figure that of the same network,
trained from scratch on the same labels. The same command continues an
evaluation that was stopped.
"""

import pathlib

from absl import flags
import jax

from semppl_jax.config import loading
from semppl_jax.runtime import cli, errors

_CONFIG = loading.define_flag()
_CHECKPOINT = flags.DEFINE_string(
  'checkpoint', None, 'A run, imported weights, or a file of weights.'
)
_PROTOCOL = flags.DEFINE_string(
  'protocol', 'all', 'Protocol of the evaluation.'
)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Directory of the results.')
_BASELINE = flags.DEFINE_boolean(
  'baseline', False, 'Also train on the labels alone, for comparison.'
)


def main(_) -> int:
  """Runs the command and returns the exit status."""
  return cli.run_cli(_evaluate)


def _evaluate() -> int:
  from semppl_jax.protocols import runner, setup

  checkpoint, workdir = _CHECKPOINT.value, _WORKDIR.value
  if not checkpoint or not workdir:
    raise loading.ConfigError(
      '--checkpoint and --workdir are needed, as in'
      ' --checkpoint=runs/quickstart --workdir=runs/evaluation.'
    )
  runner.check(_PROTOCOL.value)
  directory = pathlib.Path(workdir).expanduser()
  context = setup.build(_CONFIG.value, checkpoint, directory)
  try:
    result = runner.run(context, _PROTOCOL.value, _BASELINE.value)
  except ValueError as error:  # From data that is opened late.
    raise errors.InputError(str(error)) from error
  if jax.process_index() == 0:
    print(result.describe())  # noqa: T201
  return errors.OK


if __name__ == '__main__':
  cli.start(main, loading.parse_flags)
