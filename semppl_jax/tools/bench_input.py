r"""Measures a config's input pipeline, stage by stage.

  python -m semppl_jax.tools.bench_input --config=configs/resnet50_10pct.py \
      --config.data.path=DIR [--rate=IMAGES_PER_SECOND]

Reports the CPU time per image of reading, decoding, cropping, batching and
transfer to the devices, and of the decoder alone; the images/s of this machine;
and the number of cores that an accelerator of a given rate needs. Nothing is
trained.
"""

from collections.abc import Sequence
import json
import os

from absl import flags

from semppl_jax.config import loading
from semppl_jax.runtime import cli, errors

_CONFIG = loading.define_flag()
_RATE = flags.DEFINE_float('rate', 1000.0, 'Images/s of the accelerator.', 0.0)
_SECONDS = flags.DEFINE_float(
  'seconds', 10.0, 'Minimal duration of each measurement.', 0.0
)
_OUT = flags.DEFINE_string('out', None, 'JSON file to write the figures to.')
_NO_STAGES = (
  "config.data.backend='device' has no input pipeline: the devices hold the"
  " train set. Measure config.data.backend='tfdata'."
)


def main(_: Sequence[str]) -> int:
  """Runs the benchmark and returns the exit status."""
  return cli.run_cli(_measure, 'Nothing was written; measure again.')


def _measure() -> int:
  from semppl_jax.runtime import files as files_lib
  from semppl_jax.tools.profiling import input_benchmark
  from semppl_jax.training import experiment as experiment_lib

  config = _CONFIG.value
  if config.data.backend == 'device':
    raise loading.ConfigError(_NO_STAGES)
  out = files_lib.output_file(_OUT.value) if _OUT.value else None
  experiment = experiment_lib.build(config)
  try:
    alone = input_benchmark.decoding_alone(experiment, _SECONDS.value)
    costs = input_benchmark.measure(experiment, _SECONDS.value)
  except ValueError as error:  # An image cannot be read.
    raise errors.InputError(str(error)) from error
  print(input_benchmark.table({'decoding alone': alone}))  # noqa: T201
  print(input_benchmark.table(costs))  # noqa: T201
  print(_summary(alone, costs))  # noqa: T201
  if out:
    figures = {'decoding alone': alone, **costs}
    content = {name: cost._asdict() for name, cost in figures.items()}
    out.write_text(json.dumps(content, indent=2) + '\n')
  return errors.OK


def _summary(alone, costs) -> str:
  last = [*costs.values()][-1]
  cores = _RATE.value * last.cpu
  return (
    f'The pipeline takes {last.cpu / alone.cpu:.2f} times the CPU time of'
    f' decoding alone, at full size. This machine ({os.cpu_count()} cores)'
    f' makes {1 / last.wall:,.0f} images/s; an accelerator that takes'
    f' {_RATE.value:,.0f} images/s needs {cores:.1f} cores like these.'
  )


if __name__ == '__main__':
  cli.start(main, loading.parse_flags)
