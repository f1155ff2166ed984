r"""Compares methods on equal terms, over several seeds.

  python -m semppl_jax.tools.compare --budget='4000 steps' --seeds=3 --out=DIR \
    --configs=configs/quickstart.py,configs/simclr_quickstart.py

Data, encoder, views, batch and evaluation must be equal in all configs; the
labelled images of a seed are. DIR gets `comparison.md`, `.png` and `.json`,
rewritten after every run, and a directory for each run. After a stop the same
command goes on, and finished runs are not repeated. `--jobs=2` makes two runs
in parallel, each on half of the CPU cores; on a GPU, which they share, set
`XLA_PYTHON_CLIENT_PREALLOCATE=false`.

Exit status: 0, 1 if a run failed (the others are finished), 2 on bad input.
"""

from collections.abc import Sequence
import pathlib

from absl import flags
import jax

from semppl_jax.config.loading import ConfigError
from semppl_jax.runtime import cli, errors

_CONFIGS = flags.DEFINE_list('configs', [], 'Config files, split by commas.')
_BUDGET = flags.DEFINE_string(
  'budget', None, "Length of each run: '4000 steps' or '10 minutes'."
)
_SEEDS = flags.DEFINE_integer('seeds', 3, 'Seeds 0, 1, ... of each.', 1)
_OUT = flags.DEFINE_string('out', None, 'Directory of the results.')
_EVALUATIONS = flags.DEFINE_integer(
  'evaluations', 8, 'Evaluations of each run, the last at its end.', 1
)
_SET = flags.DEFINE_multi_string(
  'set', [], 'A field of all configs, as --set=batch_size=128; repeat it.'
)
_ALLOW = flags.DEFINE_list(
  'allow', [], 'Compared fields that may differ nevertheless.'
)
_JOBS = flags.DEFINE_integer(
  'jobs', 1, 'Parallel runs, each on its share of the machine.', 1
)


def main(argv: Sequence[str]) -> int:
  """Runs the comparison and returns the exit status."""
  return cli.run_cli(lambda: _compare(argv))


def _compare(argv: Sequence[str]) -> int:
  from semppl_jax.tools.comparison import (
    budget as budget_lib,
    experiments,
    runner,
  )

  if argv[1:]:
    raise ConfigError(
      f'unknown flag {argv[1]!r}: flags begin with --, and lists have no'
      ' spaces.'
    )
  budget = budget_lib.parse(_BUDGET.value)
  if not _OUT.value:
    raise ConfigError('--out=DIR is missing: the folder of the results.')
  if budget.unit == 'minutes' and jax.process_count() > 1:
    # Each process would time, and take, another number of steps.
    raise ConfigError('Several processes need a --budget in steps.')
  comparison = runner.Comparison(
    entries=tuple(experiments.load(_CONFIGS.value, _SET.value)),
    budget=budget,
    seeds=_SEEDS.value,
    evaluations=_EVALUATIONS.value,
    overrides=tuple(_SET.value),
    allow=tuple(_ALLOW.value),
    jobs=_JOBS.value,
  )
  report = runner.run(comparison, pathlib.Path(_OUT.value).expanduser())
  if report is None:
    print('Stopped; run the same command again to continue.')  # noqa: T201
    return errors.STOPPED
  if jax.process_index() == 0:
    print(report.describe())  # noqa: T201
  return errors.FAILED if report.failed else errors.OK


if __name__ == '__main__':
  cli.start(main)
