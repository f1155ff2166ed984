r"""Compiles a config's step for more and more cores, to see how it scales.

  python benchmarks/scaling.py --config=configs/resnet50_10pct.py --out=DIR

Strong scaling keeps the config's global batch, weak scaling a batch per core.
Nothing runs on a TPU: times are rooflines, of `semppl_jax.tools.compile_check`,
whose rows of --all are used from the same DIR. Rewrites
DIR/scaling_CONFIG_CHIP.md after every row and prints it; after a stop the same
command goes on. Exit status: 0, 1 if a row failed, 2 on bad input.
"""

import pathlib
from typing import Any

from absl import flags
import scaling_plan
import scaling_table

from semppl_jax.config import loading
from semppl_jax.runtime import cli, errors
from semppl_jax.runtime.files import write_text
from semppl_jax.tools.compile import job_runner, topologies, tpu_aot
from semppl_jax.tools.compile.topologies import Row

_CONFIG = flags.DEFINE_string(
  'config', 'configs/resnet50_10pct.py', 'Config file.'
)
_SET = flags.DEFINE_multi_string(
  'set', [], 'A field of the config, as --set=network.width=2; repeat it.'
)
_CHIP = flags.DEFINE_string(
  'chip', 'v3', f'One of {", ".join(topologies.CHIPS)}.'
)
_CORES = flags.DEFINE_list(
  'cores', [], 'How many, as 8,32,128; all that the chip has, by default.'
)
_PER_CORE = flags.DEFINE_integer(
  'per_core', 32, 'Images per core and step, of weak scaling.', 1
)
_OUT = flags.DEFINE_string('out', None, 'Folder of the rows and the table.')
_read_limits = job_runner.define_limit_flags()


def main(_) -> int:
  """Runs the benchmark and returns the exit status."""
  return cli.run_cli(_measure, job_runner.RESUME_HINT)


def _measure() -> int:
  store = job_runner.open_store(_OUT.value, _read_limits(), tpu_aot.versions())
  config, chip = _CONFIG.value, _CHIP.value
  points = scaling_plan.plan(
    config, _SET.value, chip, _cores(), _PER_CORE.value
  )
  name = f'scaling_{pathlib.Path(config).stem}_{chip}.md'
  records: dict[Row, dict[str, Any]] = {}
  # Both modes may have the same row.
  rows = [*dict.fromkeys(x.row for x in points if x.row)]
  for row, record in job_runner.compile_rows(rows, store):
    records[row] = record
    page = scaling_table.page(points, records, store.versions)
    write_text(store.folder / name, page + '\n')
  print(scaling_table.page(points, records, store.versions))
  outcomes = [record['outcome'] for record in records.values()]
  return errors.FAILED if job_runner.FAILED in outcomes else errors.OK


def _cores() -> list[int]:
  if not _CORES.value:
    return topologies.core_counts(_CHIP.value)
  try:
    return sorted({int(x) for x in _CORES.value})
  except ValueError as error:
    raise loading.ConfigError(
      f'--cores={",".join(_CORES.value)} must be numbers, as 8,32,128.'
    ) from error


if __name__ == '__main__':
  cli.start(main)
