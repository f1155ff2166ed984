"""What stands beside an exported file: `<file>.json`.

All that a user of the file needs and the format has no place for.
"""

import json
import pathlib
from typing import Any

import semppl_jax
from semppl_jax.exchange import inference, weights_dir
from semppl_jax.models.weights import Weights


def path_of(path: pathlib.Path) -> pathlib.Path:
  """Where the side file of `path`, a file or a directory, is."""
  return path.with_name(f'{path.name}.json')


def describe(
  weights: Weights,
  heads: tuple[str, ...],
  format_name: str,
  measured: dict[str, Any] | None = None,
) -> dict[str, Any]:
  """Returns the content of a side file.

  Args:
    weights: what was exported.
    heads: heads that were exported.
    format_name: name of the format.
    measured: what the comparison with the original said; None before it.
  """
  side, _, colours = inference.image_shape(weights)
  shapes = inference.output_shapes(weights, heads)
  return weights_dir.describe(weights) | {
    'format': format_name,
    'version': semppl_jax.__version__,
    'heads': list(heads),
    'input': {
      'name': 'images',
      'dtype': 'uint8',
      'shape': ['B', side, side, colours],
      'colours': 'RGB',
    },
    'outputs': {name: ['B', *shape] for name, shape in shapes.items()},
    'padding': weights.network.padding,
    'measured': measured,
  }


def write(path: pathlib.Path, content: dict[str, Any]) -> None:
  """Writes the side file of `path`."""
  path_of(path).write_text(json.dumps(content, indent=2) + '\n')


def read(path: pathlib.Path) -> dict[str, Any]:
  """Reads the side file of `path`."""
  return json.loads(path_of(path).read_text())
