r"""Compiles a config's train step for a TPU slice, on a machine without a TPU.

  python -m semppl_jax.tools.compile_check --config=configs/resnet50_10pct.py \
      --topology=v3:8x8 --out=FILE

Says, per core, what memory, arithmetic, memory traffic and communication one
step takes, what time at the least, and whether it fits. All of it comes from
the compiler: no data is read and nothing runs. Needs libtpu (extra `[tpu]`).

Exit status: 0 where the step fits, 1 where it does not, 2 on bad input.
"""

import json
import os
import pathlib
import sys

from absl import flags
import jax

from semppl_jax import config_file
from semppl_jax.tools import ahead, figures

FITS, DOES_NOT_FIT = 0, 1

_CONFIG = config_file.define_flag('config')
_TOPOLOGY = flags.DEFINE_string(
  'topology', None, 'The slice, as v3:8x8, v4:4x4x4 or v5e:4x8.'
)
_OUT = flags.DEFINE_string('out', None, 'JSON file to write.')
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
  topology, out = _TOPOLOGY.value, _OUT.value
  if not topology or not out:
    return _complain('--topology=CHIP:SHAPE and --out=FILE are both needed.')
  _leave_accelerators_alone()
  try:
    report = ahead.check(
      _CONFIG.value, topology, _OVERHEAD.value, _PHOTOMETRIC.value
    )
  except ValueError as error:
    return _complain(str(error))
  path = pathlib.Path(out)
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(json.dumps(report, indent=2) + '\n')
  print(figures.table(report))  # noqa: T201
  return FITS if report['fits'] else DOES_NOT_FIT


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
  print(f'semppl_jax: {message}', file=sys.stderr)  # noqa: T201
  return config_file.BAD_INPUT


if __name__ == '__main__':
  config_file.run(main)
