r"""Compiles a config's train step for a TPU slice, on a machine without a TPU.

  python -m semppl_jax.tools.compile_check --config=configs/resnet50_10pct.py \
      --topology=v3:8x8 --out=FILE

Reports, per core, memory, arithmetic, memory traffic and communication of one
step, its least time, and whether it fits. All of it comes from the compiler: no
data is read and nothing runs. Needs libtpu (extra `[tpu]`).

  python -m semppl_jax.tools.compile_check --all --out=DIR [--rows=REGEX]

makes a table of all configs of the papers, each on its slice, as
DIR/table.md: rewritten after every row; after a stop, run the same command
again to continue.

Exit status: 0 if the step fits, or every row was compiled; 1 if it does not, or
a row failed; 2 on bad input.
"""

import json
import os

from absl import flags
import jax

from semppl_jax.config import loading
from semppl_jax.runtime import cli, device_memory, errors, files as files_lib
from semppl_jax.tools.compile import (
  cost_analysis,
  job_runner,
  table,
  topologies,
  tpu_aot,
)

FITS, DOES_NOT_FIT = 0, 1

_CONFIG = loading.define_flag()
_TOPOLOGY = flags.DEFINE_string(
  'topology', None, 'The slice, as v3:8x8, v4:4x4x4 or v5e:4x8.'
)
_OUT = flags.DEFINE_string(
  'out', None, 'JSON file to write; with --all, a folder.'
)
_ALL = flags.DEFINE_bool(
  'all', False, 'Compile every config of the papers for its slice.'
)
_ROWS = flags.DEFINE_string(
  'rows',
  None,
  "With --all: compile only the rows that match, as 'resnet50_10pct v3'.",
)
_OVERHEAD = flags.DEFINE_bool(
  'overhead',
  True,
  'Also compile the networks alone, to show the cost of queue, votes, sampling'
  ' and losses; takes about twice as long.',
)
_PHOTOMETRIC = flags.DEFINE_bool(
  'photometric',
  False,
  'Also compile the step without color operations and blur, to show their'
  ' cost.',
)
_read_limits = job_runner.define_limit_flags()


def main(_: list[str]) -> int:
  """Runs the check and returns the exit status."""
  if _ALL.value or _ROWS.value is not None:
    return cli.run_cli(_make_table, job_runner.RESUME_HINT)
  topology, out = _TOPOLOGY.value, _OUT.value
  if _CONFIG.value is None:
    return _complain('--config=FILE is missing; --all takes every config.')
  if not topology or not out:
    return _complain('--topology=CHIP:SHAPE and --out=FILE are both needed.')
  _hide_accelerators()
  try:
    path = files_lib.output_file(out)
    report = tpu_aot.check(
      _CONFIG.value, topology, _OVERHEAD.value, _PHOTOMETRIC.value
    )
  except ValueError as error:
    return _complain(str(error))
  files_lib.write_text(path, json.dumps(report, indent=2) + '\n')
  print(cost_analysis.table(report))  # noqa: T201
  if report['fits']:
    return FITS
  larger = topologies.larger(
    topology, report['cores'], cost_analysis.memory_ratio(report)
  )
  more = f'a larger slice: --topology={larger}' if larger else 'more cores'
  return errors.complain(
    device_memory.too_large(_CONFIG.value, topology, more), DOES_NOT_FIT
  )


def _make_table() -> int:
  rows = _selected()
  store = job_runner.open_store(_OUT.value, _read_limits(), tpu_aot.versions())
  # Rows of earlier calls stay in the table.
  records = {row: job_runner.load(row, store) for row in topologies.ROWS}
  records = {row: x for row, x in records.items() if x or row in rows}
  for row, record in job_runner.compile_rows(rows, store):
    records[row] = record
    page = table.page(records, store.versions)
    files_lib.write_text(store.folder / 'table.md', page + '\n')
  print(table.page(records, store.versions))  # noqa: T201
  made = (job_runner.COMPILED, job_runner.OVER_LIMIT)
  outcomes = [record['outcome'] for record in records.values() if record]
  return errors.OK if {*outcomes} <= {*made} else errors.FAILED


def _selected() -> list[topologies.Row]:
  if not _ALL.value:
    raise loading.ConfigError('--rows=REGEX needs --all.')
  if _CONFIG.value is not None or _TOPOLOGY.value or _PHOTOMETRIC.value:
    raise loading.ConfigError(
      '--all has configs and slices of its own: no --config, --topology or'
      ' --photometric.'
    )
  return topologies.select(topologies.ROWS, _ROWS.value or '')


def _hide_accelerators() -> None:
  """Keeps JAX and libtpu from looking for devices; before JAX starts any."""
  jax.config.update('jax_platforms', 'cpu')
  # libtpu would wait for the metadata server of a cloud, and would lock itself
  # against other processes, although no device is used.
  for name, value in (
    ('TPU_SKIP_MDS_QUERY', '1'),
    ('TPU_WORKER_HOSTNAMES', 'localhost'),
    ('TPU_WORKER_ID', '0'),
    ('TPU_ACCELERATOR_TYPE', 'v3-8'),
    ('TPU_MIN_LOG_LEVEL', '2'),
    ('ALLOW_MULTIPLE_LIBTPU_LOAD', '1'),
  ):
    os.environ.setdefault(name, value)


def _complain(message: str) -> int:
  return errors.complain(message, errors.BAD_INPUT)


if __name__ == '__main__':
  cli.start(main, loading.parse_optional_config)
