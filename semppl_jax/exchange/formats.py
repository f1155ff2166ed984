"""Export formats by name; each module is imported when first used.

A format is a module with the members of `Format`. To add one, write the module
and add it to `_MODULES`.
"""

import importlib
import pathlib
from typing import cast, Protocol

from semppl_jax.config import loading
from semppl_jax.exchange.inference import HostFn
from semppl_jax.models.weights import Weights, WeightsError

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
  """Interface of the module of a format.

  Attributes:
    TOLERANCE: largest accepted difference of an output of a written file from
      the original, relative to the largest value of that output.
  """

  TOLERANCE: float

  def check(self, weights: Weights, heads: tuple[str, ...]) -> None:
    """Raises WeightsError where the format cannot hold the network exactly."""

  def write(
    self, path: pathlib.Path, weights: Weights, heads: tuple[str, ...]
  ) -> None:
    """Writes a file, or a directory."""

  def read_back(self, path: pathlib.Path) -> HostFn:
    """Returns the function that the file computes."""
    ...


def load(name: str) -> Format:
  """Returns the format of that name.

  Raises:
    WeightsError: the name is unknown.
  """
  if name not in _MODULES:
    near = loading.nearest(name, NAMES)
    hint = f'; did you mean {near!r}?' if near else '.'
    raise WeightsError(
      f'--format={name} must be one of {", ".join(NAMES)}{hint}'
    )
  module = importlib.import_module(f'semppl_jax.exchange.{_MODULES[name]}')
  return cast(Format, module)
