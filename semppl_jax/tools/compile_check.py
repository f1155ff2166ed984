r"""Compiles a config's train step for a TPU slice, on a machine without a TPU.

  python -m semppl_jax.tools.compile_check --config=configs/resnet50_10pct.py \
      --topology=v3:8x8 --out=FILE

Says, per core, what memory, arithmetic, memory traffic and communication one
step takes, what time at the least, and whether it fits. All of it comes from
the compiler: no data is read and nothing runs. Needs libtpu (extra `[tpu]`).

  python -m semppl_jax.tools.compile_check --all --out=DIR [--rows=REGEX]

makes a table of all configs of the papers, each on its slice, as
DIR/table.md: rewritten after every row, and what was stopped goes on.

Exit status: 0 where the step fits, or every row was made; 1 where it does not,
or a row failed; 2 on bad input.
"""

import json
import os

from absl import flags
import jax

from semppl_jax.config import loading
from semppl_jax.runtime import cli, device_memory, errors, files as files_lib
from semppl_jax.tools.compile import (
  cost_analysis,
  fit_table,
  job_runner,
  limit_flags,
  row_files,
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
  "With --all: compile those alone that match, as 'resnet50_10pct v3'.",
)
_OVERHEAD = flags.DEFINE_bool(
  'overhead',
  True,
  'Also compile the networks alone, to tell what queue, votes, sampling and'
  ' losses add; takes about as long again.',
)
_PHOTOMETRIC = flags.DEFINE_bool(
  'photometric',
  False,
  'Also compile the step without colours and blur, to tell what these add.',
)


def main(_: list[str]) -> int:
  """Runs what the flags say and returns the exit status."""
  if _ALL.value or _ROWS.value is not None:
    return cli.run_cli(_make_table, job_runner.WHAT_IS_LEFT)
  topology, out = _TOPOLOGY.value, _OUT.value
  if _CONFIG.value is None:
    return _complain('--config=FILE is missing; --all takes every config.')
  if not topology or not out:
    return _complain('--topology=CHIP:SHAPE and --out=FILE are both needed.')
  _leave_accelerators_alone()
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
    topology, report['cores'], cost_analysis.need(report)
  )
  more = f'a larger slice: --topology={larger}' if larger else 'more cores'
  return errors.complain(
    device_memory.too_large(_CONFIG.value, topology, more), DOES_NOT_FIT
  )


def _make_table() -> int:
  rows = _selected()
  place = row_files.at(_OUT.value, limit_flags.read(), tpu_aot.versions())
  # Rows that were made before stay in the table.
  records = {row: row_files.kept(row, place) for row in topologies.ROWS}
  records = {row: x for row, x in records.items() if x or row in rows}
  for row, record in job_runner.make(rows, place):
    records[row] = record
    page = fit_table.page(records, place.versions)
    files_lib.write_text(place.folder / 'table.md', page + '\n')
  print(fit_table.page(records, place.versions))  # noqa: T201
  made = (row_files.COMPILED, row_files.OVER)
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


def _leave_accelerators_alone() -> None:
  """Keeps JAX and libtpu from looking for devices; before JAX starts any."""
  jax.config.update('jax_platforms', 'cpu')
  # libtpu would ask a cloud's metadata server, and wait, for what it is; and
  # it would lock itself against others, although no device is used.
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
