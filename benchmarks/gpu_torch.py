r"""Times the PyTorch step of a config, in a process of its own.

  python benchmarks/gpu_torch.py --config=configs/resnet50_10pct.py \
      --config.batch_size=64 --device=cuda --out=FILE.json

`benchmarks/gpu.py` starts it, since JAX would take the memory of the GPU.
Exit status: 0, or 2 on bad input, which a step that does not fit is too.
"""

from collections.abc import Callable, Sequence
import json
import pathlib
from typing import Any

from absl import flags
import jax

from semppl_jax.config import loading
from semppl_jax.config.loading import ConfigError
from semppl_jax.runtime import cli, errors, files as files_lib, mesh as mesh_lib
from semppl_jax.tools.profiling import timing
from semppl_jax.training import aot

_CONFIG = loading.define_flag()
_STEPS = flags.DEFINE_integer('steps', 30, 'Steps that are timed.', 1)
_WARMUP = flags.DEFINE_integer('warmup', 5, 'Steps before these.', 0)
_COMPILE = flags.DEFINE_bool('compile', False, 'Use torch.compile.')
_DEVICE = flags.DEFINE_enum('device', 'cuda', ['cuda', 'cpu'], 'Where.')
_OUT = flags.DEFINE_string('out', None, 'JSON file to write.')
_GIB = 2**30


def main(_: Sequence[str]) -> int:
  """Runs what the flags say and returns the exit status."""
  # It is asked for shapes alone, and would take the memory of a GPU.
  jax.config.update('jax_platforms', 'cpu')
  return cli.run_cli(_measure, 'Nothing was written; measure again.')


def _measure() -> int:
  import torch

  out = files_lib.output_file(_OUT.value)
  if _DEVICE.value == 'cuda' and not torch.cuda.is_available():
    raise ConfigError('PyTorch has no GPU: it may be a build for CPUs.')
  try:
    _write(out)
  except torch.cuda.OutOfMemoryError as error:
    raise ConfigError('PyTorch: the step does not fit this GPU.') from error
  return errors.OK


def _write(out: pathlib.Path) -> None:
  import torch_plan
  import torch_step

  mesh = mesh_lib.make_mesh(jax.devices()[:1])
  plan = torch_plan.of(aot.make_abstract_run(_CONFIG.value, mesh))
  step = torch_step.make(plan, _DEVICE.value, _COMPILE.value)
  report = _timed(step, plan.batch) | {'compiled': _COMPILE.value}
  out.write_text(json.dumps(report, indent=2) + '\n')


def _timed(step: Callable[[], None], batch: int) -> dict[str, Any]:
  import torch

  times = timing.measure({'step': step}, _STEPS.value, _WARMUP.value)['step']
  on_gpu = _DEVICE.value == 'cuda'
  peak = torch.cuda.max_memory_allocated() / _GIB if on_gpu else None
  return {
    'device_kind': torch.cuda.get_device_name() if on_gpu else 'cpu',
    'step': times._asdict(),
    'images_per_second': 1e3 * batch / times.median_ms,
    'memory_gib': {'device_peak': peak},
    'versions': {
      'torch': torch.__version__,
      'cuda': torch.version.cuda,
      'cudnn': torch.backends.cudnn.version(),
    },
  }


if __name__ == '__main__':
  cli.start(main, loading.parse_flags)
