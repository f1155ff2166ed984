"""Rows of the benchmark on a GPU, and the commands that measure them."""

from collections.abc import Sequence
import pathlib
import sys
from typing import NamedTuple

from semppl_jax.config import loading

RESNET, WRN = 'resnet50', 'wrn28_2'
ROWS = (RESNET, WRN)
OURS, EAGER, COMPILED = 'ours', 'torch', 'torch_compile'
_TORCH = pathlib.Path(__file__).resolve().parent / 'gpu_torch.py'


class Row(NamedTuple):
  """Train step of a row.

  Attributes:
    name: of `ROWS`, which its files begin with.
    title: as tables say it.
    config: config file.
    overrides: fields to change, as `'batch_size=64'`.
  """

  name: str
  title: str
  config: str
  overrides: tuple[str, ...]


class Timing(NamedTuple):
  """Numbers of steps.

  Attributes:
    steps: timed steps.
    warmup: steps before these.
  """

  steps: int
  warmup: int


def rows(
  names: Sequence[str], resnet_batch: int, overrides: Sequence[str] = ()
) -> list[Row]:
  """Returns what to measure, in the order of `ROWS`.

  Args:
    names: of `ROWS`.
    resnet_batch: images per step of the ResNet-50, which one GPU holds.
    overrides: more fields to change, of every row.

  Raises:
    ConfigError: a name or a field is unknown.
  """
  unknown = [name for name in names if name not in ROWS]
  if unknown or not names:
    raise loading.ConfigError(
      f'--rows={",".join(names)} may be some of {",".join(ROWS)}.'
    )
  known = {
    RESNET: Row(
      RESNET,
      'SemPPL, ResNet-50',
      'configs/resnet50_10pct.py',
      (f'batch_size={resnet_batch}', *overrides),
    ),
    WRN: Row(
      WRN,
      'PAWS, WRN-28-2, CIFAR-10',
      'configs/paws_cifar10_4000.py',
      # Whole images of CIFAR-10, as the devices then hold them.
      ('data.backend=device', 'data.canvas=(32,32)', *overrides),
    ),
  }
  chosen = [known[name] for name in ROWS if name in names]
  for row in chosen:
    loading.load(row.config, row.overrides)
  return chosen


def command(
  row: Row, side: str, timed: Timing, device: str, out: pathlib.Path
) -> list[str]:
  """Returns the command that measures a row on one side.

  Args:
    row: the step.
    side: `OURS`, `EAGER` or `COMPILED`.
    timed: numbers of steps.
    device: `'cuda'` or `'cpu'`, for PyTorch.
    out: the JSON file that it writes.
  """
  program = ['-m', 'semppl_jax.tools.bench']
  if side != OURS:
    program = [str(_TORCH), f'--device={device}']
  if side == COMPILED:
    program.append('--compile')
  return [
    *(sys.executable, *program, f'--config={row.config}'),
    *(f'--config.{each}' for each in row.overrides),
    *(f'--steps={timed.steps}', f'--warmup={timed.warmup}', f'--out={out}'),
  ]
