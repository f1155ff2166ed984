r"""Times a config's train step on the devices of this machine.

  python -m semppl_jax.tools.bench --config=configs/resnet50_10pct.py \
      --config.batch_size=256 --steps=20 --warmup=3 --parts --out=FILE.json

Compiles the very step that a run takes and feeds it a batch of noise that is
on the devices already: no data set is needed, and no input is waited for.
Prints, and writes as JSON: time of a step and images/s; what tracing and
compiling took; arithmetic and memory traffic as the compiler counts them, and
the least time that these take on the device (a roofline without communication);
model FLOP/s utilisation; memory; and, as `tools/parts.py` says, the parts.

With `config.accumulate` above 1 the compiler counts the body of the loop once:
its figures, and the traffic's part of the roofline, are then too low.

Exit status: 0, or 2 on bad input, which a step that does not fit is too.
"""

from collections.abc import Sequence
import json
import pathlib
import tempfile
from typing import Any

from absl import flags
import jax

from semppl_jax import config_file, program

_CONFIG = config_file.define_flag('config')
_STEPS = flags.DEFINE_integer('steps', 20, 'Steps that are timed.', 1)
_WARMUP = flags.DEFINE_integer('warmup', 3, 'Steps before these.', 0)
_PARTS = flags.DEFINE_bool(
  'parts',
  True,
  'Also compile and time the step with one part less each, to tell what the'
  ' parts take; takes about six times as long.',
)
_OUT = flags.DEFINE_string('out', None, 'JSON file to write.')
_NO_PARTS = (
  'The programs that tell the parts do not fit this memory, although the step'
  ' does; try a smaller config.batch_size for them.'
)


def main(_: Sequence[str]) -> int:
  """Runs what the flags say and returns the exit status."""
  return program.guarded(_measure, 'Nothing was written; measure again.')


def _measure() -> int:
  from semppl_jax.tools import step_time

  out = writable(_OUT.value)
  report = step_time.measure(
    _CONFIG.value, _STEPS.value, _WARMUP.value, _PARTS.value
  )
  if jax.process_index() == 0:
    print(text(report))  # noqa: T201
    out.write_text(json.dumps(report, indent=2) + '\n')
  return program.OK


def text(report: dict[str, Any]) -> str:
  """Returns the report as a person reads it: figures, then parts."""
  from semppl_jax.tools import figures

  found = report.get('parts')
  rest = {k: v for k, v in report.items() if k not in ('parts', 'programs')}
  lines = [figures.table(rest)]
  if 'parts' in report:
    lines.append(_NO_PARTS if found is None else _parts_table(found))
  return '\n\n'.join(lines)


def _parts_table(found: dict[str, dict[str, Any]]) -> str:
  from semppl_jax.tools import parts

  return parts.table({k: parts.Part(**v) for k, v in found.items()})


def writable(out: str | None) -> pathlib.Path:
  """Returns the file to write, so that none is missing after measuring.

  Args:
    out: where it should be; the folder is made where it is missing.

  Raises:
    config_file.ConfigError: it is not said, or it cannot be written.
  """
  if not out:
    raise config_file.ConfigError('--out=FILE.json is missing.')
  path = pathlib.Path(out).expanduser()
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path.parent):
      pass
    if path.is_dir():
      raise IsADirectoryError(f'{out} is a folder')
  except OSError as error:
    raise config_file.ConfigError(
      f'--out={out} cannot be written: {error}.'
    ) from error
  return path


if __name__ == '__main__':
  config_file.run(main)
