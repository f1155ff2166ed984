r"""Times a train step on one GPU, and the same networks in PyTorch.

  PYTHONPATH=. python benchmarks/gpu.py --out=DIR [--rows=resnet50,wrn28_2] \
      [--steps=30] [--torch_compile]

Measures SemPPL on a ResNet-50 with 4 x 224 + 2 x 96 views, and PAWS on a
WRN-28-2 with CIFAR-10's settings, by `semppl_jax.tools.bench`; then, where
PyTorch is installed, a plain PyTorch step of the same networks, views, batch
and precision (`torch_step.py`). Each runs in a process of its own, whose report
is kept in DIR: after a stop, run the same command again to continue. Rewrites
DIR/gpu.md after every row and prints it.
Exit status: 0, 1 if a step of ours failed, 2 on bad input.
"""

import os
import signal

from absl import flags
import gpu_page
import gpu_rows
from gpu_rows import COMPILED, EAGER, OURS, Row, Timing
import gpu_runs
from gpu_runs import Sides

from semppl_jax.runtime import cli, errors, files as files_lib
from semppl_jax.tools.compile import job_runner

_OUT = flags.DEFINE_string('out', None, 'Folder of the reports and the table.')
_ROWS = flags.DEFINE_list(
  'rows', [*gpu_rows.ROWS], f'Some of {",".join(gpu_rows.ROWS)}.'
)
_STEPS = flags.DEFINE_integer('steps', 30, 'Steps that are timed.', 1)
_WARMUP = flags.DEFINE_integer('warmup', 5, 'Steps before these.', 0)
_RESNET_BATCH = flags.DEFINE_integer(
  'resnet_batch', 64, 'Images per step of the ResNet-50.', 1
)
_TORCH_COMPILE = flags.DEFINE_bool(
  'torch_compile', False, 'Also measure PyTorch with torch.compile.'
)
_SET = flags.DEFINE_multi_string(
  'set', [], 'A field of every config, as --set=batch_size=8; repeat it.'
)


def main(_) -> int:
  """Runs the benchmark and returns the exit status."""
  return cli.run_cli(_measure, job_runner.RESUME_HINT)


def _measure() -> int:
  # Asked to end, it must not leave behind a child that holds the GPU.
  signal.signal(signal.SIGTERM, signal.default_int_handler)
  # Of several GPUs the first: rows are those of one device.
  visible = os.environ.get('CUDA_VISIBLE_DEVICES', '0')
  os.environ['CUDA_VISIBLE_DEVICES'] = visible.partition(',')[0]
  rows = gpu_rows.rows(_ROWS.value, _RESNET_BATCH.value, _SET.value)
  folder = files_lib.output_dir(_OUT.value)
  timed = Timing(_STEPS.value, _WARMUP.value)
  others = [EAGER, COMPILED] if _TORCH_COMPILE.value else [EAGER]
  measured: dict[Row, Sides] = {}
  for row in rows:
    measured[row] = gpu_runs.sides(row, folder, timed, others)
    files_lib.write_text(folder / 'gpu.md', gpu_page.page(measured) + '\n')
  print(gpu_page.page(measured))
  failed = [row for row, sides in measured.items() if not sides[OURS].report]
  return errors.FAILED if failed else errors.OK


if __name__ == '__main__':
  cli.start(main)
