"""Metadata beside an exported file, in `<file>.json`."""

import json
import pathlib
from typing import Any

import semppl_jax
from semppl_jax.exchange import inference, weights_dir
from semppl_jax.models.weights import Weights


def path_of(path: pathlib.Path) -> pathlib.Path:
  """Returns the path of the metadata of a file or directory."""
  return path.with_name(f'{path.name}.json')


def describe(
  weights: Weights,
  heads: tuple[str, ...],
  format_name: str,
) -> dict[str, object]:
  """Returns the metadata of an export, not yet compared with the original."""
  side, _, channels = inference.image_shape(weights)
  shapes = inference.output_shapes(weights, heads)
  return weights_dir.describe(weights) | {
    'format': format_name,
    'version': semppl_jax.__version__,
    'heads': list(heads),
    'input': {
      'name': 'images',
      'dtype': 'uint8',
      'shape': ['B', side, side, channels],
      'colours': 'RGB',
    },
    'outputs': {name: ['B', *shape] for name, shape in shapes.items()},
    'padding': weights.network.padding,
    'measured': None,
  }


def write(path: pathlib.Path, content: dict[str, object]) -> None:
  """Writes the metadata of the export at `path`."""
  path_of(path).write_text(json.dumps(content, indent=2) + '\n')


def read(path: pathlib.Path) -> dict[str, Any]:
  """Reads the metadata of the export at `path`."""
  return json.loads(path_of(path).read_text())
