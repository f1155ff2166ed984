"""The table of methods. A new one is a module with `make` and a line here.

A module outside this package needs no line: `config.method` may be its name, as
in `docs/add_a_method.md`. What a module has:

- `make(config, setting) -> Method`;
- `FIELDS`, a `constraints.Constraints` of what its fields may be (or nothing);
- `problems(config, dims)`, sentences for what else is impossible (or nothing).
"""

from collections.abc import Iterator
import importlib
from typing import Any

import ml_collections

from semppl_jax.config import constraints
from semppl_jax.config.constraints import RunDims
from semppl_jax.config.loading import nearest
from semppl_jax.methods import (
  byol,
  paws,
  relicv2,
  semppl,
  simclr,
  suncet,
  supervised,
  swav,
)
from semppl_jax.methods.base import Method, Setting

_TABLE = {
  'semppl': semppl,
  'relicv2': relicv2,
  'paws': paws,
  'simclr': simclr,
  'suncet': suncet,
  'byol': byol,
  'swav': swav,
  'supervised': supervised,
}
NAMES = tuple(_TABLE)


def make(config: ml_collections.ConfigDict, setting: Setting) -> Method:
  """Builds the method that `config.method` names."""
  return _module(config.method).make(config, setting)


def unknown(config: ml_collections.ConfigDict) -> Iterator[str]:
  """Yields a sentence where `config.method` names no method."""
  if not _is_there(config.method):
    near = nearest(config.method, NAMES)
    hint = f'; did you mean {near!r}?' if near else '.'
    names = ', '.join(map(repr, NAMES))
    yield constraints.must(
      config, 'method', f'be one of {names}, or a module with `make`{hint}', ''
    )


def _is_there(name: str) -> bool:
  try:
    return hasattr(_module(name), 'make')
  except ModuleNotFoundError as error:
    # Of a module that is there, what it lacks is for its author to see.
    if not f'{name}.'.startswith(f'{error.name}.'):
      raise
    return False
  except ValueError:  # An empty name.
    return False


def problems(config: ml_collections.ConfigDict, dims: RunDims) -> Iterator[str]:
  """Yields a sentence for each field that the method cannot work with."""
  module = _module(config.method)
  found = [
    *constraints.violations(
      config, getattr(module, 'FIELDS', constraints.Constraints())
    )
  ]
  yield from found
  # What follows calculates with the fields, and needs them to be sound.
  if not found and hasattr(module, 'problems'):
    yield from module.problems(config, dims)


def _module(name: str) -> Any:
  return _TABLE[name] if name in _TABLE else importlib.import_module(name)
