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

from absl import flags
import jax

from semppl_jax.config import loading
from semppl_jax.runtime import cli, errors

_CONFIG = loading.define_flag()
_STEPS = flags.DEFINE_integer('steps', 20, 'Steps that are timed.', 1)
_WARMUP = flags.DEFINE_integer('warmup', 3, 'Steps before these.', 0)
_PARTS = flags.DEFINE_bool(
  'parts',
  True,
  'Also compile and time the step with one part less each, to tell what the'
  ' parts take; takes about six times as long.',
)
_OUT = flags.DEFINE_string('out', None, 'JSON file to write.')


def main(_: Sequence[str]) -> int:
  """Runs what the flags say and returns the exit status."""
  return cli.run_cli(_measure, 'Nothing was written; measure again.')


def _measure() -> int:
  from semppl_jax.runtime import files as files_lib
  from semppl_jax.tools.profiling import step_benchmark, step_report

  # A program that is kept would take no time to compile.
  jax.config.update('jax_enable_compilation_cache', False)
  out = files_lib.output_file(_OUT.value)
  report = step_benchmark.measure(
    _CONFIG.value, _STEPS.value, _WARMUP.value, _PARTS.value
  )
  if jax.process_index() == 0:
    print(step_report.text(report))  # noqa: T201
    out.write_text(json.dumps(report, indent=2) + '\n')
  return errors.OK


if __name__ == '__main__':
  cli.start(main, loading.parse_flags)
