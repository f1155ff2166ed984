"""The table of export formats: names to modules, each loaded when asked for.

A format is a module with `TOLERANCE`, `check`, `write` and `read_back`, as
`Format` has them. Another format is another line.
"""

from collections.abc import Callable
import importlib
import pathlib
from typing import Any, cast, Protocol

import numpy as np

from semppl_jax.config import loading
from semppl_jax.models.weights import Weights, WeightsError

_PACKAGE = 'semppl_jax.exchange'
_MODULES = {
  'safetensors': 'to_safetensors',
  'deepmind': 'to_deepmind',
  'saved_model': 'to_saved_model',
  'stablehlo': 'to_stablehlo',
  'onnx': 'to_onnx',
  'features': 'to_features',
}
NAMES = tuple(_MODULES)


class Format(Protocol):
  """What the module of a format has.

  Attributes:
    TOLERANCE: largest difference between what a written file and the original
      compute, over the largest value of that output.
  """

  TOLERANCE: float

  def check(self, weights: Weights, heads: tuple[str, ...]) -> None:
    """Raises WeightsError where the format cannot hold the network exactly."""

  def write(
    self, path: pathlib.Path, weights: Weights, heads: tuple[str, ...]
  ) -> None:
    """Writes a file, or a directory."""

  def read_back(
    self, path: pathlib.Path
  ) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Returns what the file computes of uint8 images [n, crop, crop, 3]."""
    ...


def load(name: str) -> Format:
  """Returns the format of a name.

  Raises:
    WeightsError: there is none.
  """
  if name not in _MODULES:
    near = loading.nearest(name, NAMES)
    hint = f'; did you mean {near!r}?' if near else '.'
    raise WeightsError(
      f'--format={name} must be one of {", ".join(NAMES)}{hint}'
    )
  module: Any = importlib.import_module(f'{_PACKAGE}.{_MODULES[name]}')
  return cast(Format, module)
