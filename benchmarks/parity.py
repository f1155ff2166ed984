"""Measures the distance of each export from its original, for docs/weights.md.

  python benchmarks/parity.py [--size=64] [--only=onnx,ResNet-18]

Networks with random weights, in which every path and batch-norm average
matters, are written in each format and run by the library that its users have:
torchvision's and timm's networks for safetensors, Haiku's for deepmind,
TensorFlow, ONNX Runtime. A cell is the largest difference of the features over
noise images, as a part of the largest feature; what a format cannot hold it
refuses, and the reasons are under the table. Ends with 1 where a cell is over
the tolerance of its format. Needs the extras `onnx` and `test`, and PyTorch.
"""

from collections.abc import Callable
import pathlib
import re
import sys
import tempfile
from typing import Any, NamedTuple

from absl import app, flags, logging
import numpy as np

from semppl_jax.exchange import export, inference, metadata
from semppl_jax.models.weights import Weights, WeightsError

# The references are those of the tests.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from semppl_jax.runtime.tables import markdown
from tests.helpers import (
  haiku_networks,
  random_weights,
  torch_networks,
)

_SIZE = flags.DEFINE_integer('size', 64, 'Side of the images, pixels.')
_IMAGES = flags.DEFINE_integer('images', 16, 'Number of images.')
_ONLY = flags.DEFINE_list(
  'only', [], 'Only these formats, architectures or paddings.'
)

FORMATS = ('safetensors', 'deepmind', 'saved_model', 'stablehlo', 'onnx')
PADDINGS = ('torch', 'same')
_IMAGENET = dict(backbone='resnet50', stem='imagenet')
# The settings, and PyTorch's name in `torch_networks`.
ARCHITECTURES: dict[str, tuple[dict[str, Any], str]] = {
  'ResNet-18': (_IMAGENET | dict(backbone='resnet18'), 'resnet18'),
  'ResNet-50': (_IMAGENET, 'resnet50'),
  'ResNet-50 (2x)': (_IMAGENET | dict(width=2), 'resnet50x2'),
  'ResNet-50 + SK': (
    _IMAGENET | dict(selective_kernels=True),
    'sk_resnet50',
  ),
  'WRN-28-2': (
    dict(backbone='wide_resnet28_2', stem='cifar'),
    'wide_resnet28_2',
  ),
  'EfficientNet-Lite0': (
    dict(backbone='efficientnet_lite0', stem='imagenet', bn_eps=1e-3),
    'timm_tf_efficientnet_lite0',
  ),
}
_CIFAR_SIZE = 32

Run = Callable[[np.ndarray], dict[str, np.ndarray]]


class Cell(NamedTuple):
  """Distance of an export from its original.

  Attributes:
    apart: largest difference, over the largest feature; None if refused.
    tolerance: most that it may be.
    reason: why the format refuses the network.
  """

  apart: float | None
  tolerance: float
  reason: str = ''

  @property
  def good(self) -> bool:
    """True if it is within the tolerance, or refused."""
    return self.apart is None or self.apart <= self.tolerance

  def __str__(self) -> str:
    """Returns what the table shows."""
    if self.apart is None:
      return 'refused'
    shown = f'{self.apart:.0e}' if self.apart else '0'
    return shown if self.good else f'**{shown}**'


Cells = dict[tuple[str, str, str], Cell]


def main(_) -> int:
  """Measures every cell, prints them and returns the exit status."""
  logging.set_verbosity(logging.ERROR)
  named = set(_ONLY.value)
  unknown = named - {*FORMATS, *ARCHITECTURES, *PADDINGS}
  if unknown:
    raise app.UsageError(
      f'--only={sorted(unknown)[0]} is none of'
      f' {", ".join((*FORMATS, *ARCHITECTURES, *PADDINGS))}.'
    )
  rows, columns, paddings = (
    [x for x in given if x in named] or list(given)
    for given in (FORMATS, ARCHITECTURES, PADDINGS)
  )
  cells: Cells = {}
  for architecture in columns:
    for padding in paddings:
      measured = measure(
        architecture, padding, rows, _SIZE.value, _IMAGES.value
      )
      for row, value in measured.items():
        cells[row, padding, architecture] = value
        print(f'{architecture}, {padding}, {row}: {value}', flush=True)
  return report(cells)


def report(cells: Cells) -> int:
  """Prints the table and why cells are refused; 1 if one is over, else 0."""
  print(table(cells))
  said = [f'{k[0]}: {cell.reason}' for k, cell in cells.items() if cell.reason]
  for reason in dict.fromkeys(said):
    print(f'\n{reason}')
  over = [key for key, cell in cells.items() if not cell.good]
  for key in over:
    print(f'Over its tolerance: {", ".join(key)}.', file=sys.stderr)
  return 1 if over else 0


def measure(
  architecture: str, padding: str, rows: list[str], size: int, count: int
) -> dict[str, Cell]:
  """Returns the cell of each format in `rows`."""
  settings, torch_name = ARCHITECTURES[architecture]
  small = settings['stem'] == 'cifar'
  weights = random_weights.make(
    min(size, _CIFAR_SIZE) if small else size,
    heads=(),
    padding=padding,
    **settings,
  )
  images = random_weights.images(weights, count)
  original = inference.make_host_fn(weights)
  cells = {}
  for name in rows:
    form = export.load_format(name)
    try:
      form.check(weights, ())
    except WeightsError as error:
      cells[name] = Cell(None, form.TOLERANCE, str(error))
      continue
    with tempfile.TemporaryDirectory() as folder:
      path = pathlib.Path(folder) / 'file'
      metadata.write(path, metadata.describe(weights, (), name))
      form.write(path, weights, ())
      if name == 'safetensors':
        written = torch_run(path, torch_name, weights)
      elif name == 'deepmind':
        written = haiku_run(path, weights)
      else:
        written = form.read_back(path)
      apart = export.compare(original, written, images)
    cells[name] = Cell(apart['features'], form.TOLERANCE)
  return cells


def torch_run(path: pathlib.Path, name: str, weights: Weights) -> Run:
  """Loads a file into PyTorch's own network, as its users would."""
  import safetensors.torch
  import torch

  network = torch_networks.build(name)
  state = safetensors.torch.load_file(path)
  missing, surplus = network.load_state_dict(state, strict=False)
  wrong = [x for x in missing if not x.endswith('num_batches_tracked')]
  if wrong or surplus:
    raise ValueError(f'{name} has no {surplus} and misses {wrong}.')
  mean, std = (
    torch.tensor(x).reshape(3, 1, 1)
    for x in (weights.preprocessing.mean, weights.preprocessing.std)
  )

  def run(images: np.ndarray) -> dict[str, np.ndarray]:
    pixels = torch.from_numpy(np.moveaxis(images, -1, 1).copy()).float() / 255
    with torch.inference_mode():
      return {'features': network((pixels - mean) / std).numpy()}

  return run


def haiku_run(path: pathlib.Path, weights: Weights) -> Run:
  """Loads a file into Haiku's own network, as the released code does."""
  depth = re.fullmatch(r'resnet(\d+)', weights.network.backbone)
  if depth is None:
    raise ValueError(f'Haiku has no {weights.network.backbone}.')
  plan = haiku_networks.resnet(int(depth[1]), weights.network.width)
  return haiku_networks.run(path, plan, weights.preprocessing)


def table(cells: Cells) -> str:
  """Markdown: formats and paddings down, architectures across."""
  rows = list(dict.fromkeys(key[:2] for key in cells))
  rows.sort(key=lambda row: (PADDINGS.index(row[1]), FORMATS.index(row[0])))
  columns = [x for x in ARCHITECTURES if any(key[2] == x for key in cells)]
  lines = [
    [*row, *(str(cells.get((*row, x), '')) for x in columns)] for row in rows
  ]
  return markdown([['format', 'padding', *columns], *lines])


if __name__ == '__main__':
  app.run(main)
