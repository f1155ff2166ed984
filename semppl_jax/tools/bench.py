r"""Times a config's train step on the devices of this machine.

  python -m semppl_jax.tools.bench --config=configs/resnet50_10pct.py \
      --config.batch_size=256 --steps=20 --warmup=3 --parts --out=FILE.json

Compiles the step as a run does, and feeds it a random batch that is on the
devices already: no data set is needed, and no input is waited for. Prints, and
writes as JSON: time of a step and images/s; time of tracing and compiling;
arithmetic and memory traffic as the compiler counts them, and the least time
that these take on the device (a roofline without communication); model FLOP/s
utilization; memory; the parts of the step, by a profile of some steps
(`profiling/breakdown.py`); and time of the networks alone.

With `config.accumulate` above 1 the compiler counts the body of the loop once:
its figures, and the traffic's part of the roofline, are then too low.

Exit status: 0, or 2 on bad input, as for a step that does not fit.
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
  'Also report the time of each part, and compile and time the networks alone;'
  ' takes about twice as long.',
)
_OUT = flags.DEFINE_string('out', None, 'JSON file to write.')
_PROFILE = flags.DEFINE_string(
  'profile',
  None,
  'STEP:COUNT, the first step and the number of steps, counted with the'
  ' warm-up, to write a profile of to the folder OUT.profile; they are slower.',
)


def main(_: Sequence[str]) -> int:
  """Runs the benchmark and returns the exit status."""
  return cli.run_cli(_measure, 'Nothing was written; measure again.')


def _measure() -> int:
  from semppl_jax.runtime import files as files_lib
  from semppl_jax.tools.profiling import step_benchmark
  from semppl_jax.training import profiling

  # A program of the cache would take no time to compile.
  jax.config.update('jax_enable_compilation_cache', False)
  out = files_lib.output_file(_OUT.value)
  profiler = profiling.Profiler(
    profiling.parse(_PROFILE.value), out.with_name(f'{out.name}.profile')
  )
  report = step_benchmark.measure(
    _CONFIG.value, _STEPS.value, _WARMUP.value, _PARTS.value, profiler
  )
  if jax.process_index() == 0:
    print(step_benchmark.text(report))  # noqa: T201
    out.write_text(json.dumps(report, indent=2) + '\n')
  return errors.OK


if __name__ == '__main__':
  cli.start(main, loading.parse_flags)
