"""Learning methods: a table of modules, each with its loss and its checks.

The train step calls `make`; training and evaluators may use what methods share.
A new method is a module and a line of the table. `config.method` may also be
the name of a module outside this package, as in `docs/add_a_method.md`. It has:

- `make(config, context) -> Method`;
- `FIELDS`, a `constraints.Constraints` on single fields (optional);
- `problems(config, dims)`, which yields a sentence for each other value that
  cannot work (optional).
"""

from collections.abc import Iterator
import importlib
import types

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
from semppl_jax.methods.base import Method, MethodContext

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


def make(config: ml_collections.ConfigDict, context: MethodContext) -> Method:
  """Builds the method that `config.method` names."""
  return _module(config.method).make(config, context)


def unknown(config: ml_collections.ConfigDict) -> Iterator[str]:
  """Yields a sentence if `config.method` names no method."""
  if not _exists(config.method):
    near = nearest(config.method, NAMES)
    hint = f'; did you mean {near!r}?' if near else '.'
    names = ', '.join(map(repr, NAMES))
    yield constraints.must(
      config, 'method', f'be one of {names}, or a module with `make`{hint}', ''
    )


def _exists(name: str) -> bool:
  try:
    return hasattr(_module(name), 'make')
  except ModuleNotFoundError as error:
    # An import that fails inside an existing module is for its author to see.
    if not f'{name}.'.startswith(f'{error.name}.'):
      raise
    return False
  except ValueError:  # An empty name.
    return False


def problems(config: ml_collections.ConfigDict, dims: RunDims) -> Iterator[str]:
  """Yields a sentence for each field that the method cannot work with."""
  module = _module(config.method)
  fields = getattr(module, 'FIELDS', constraints.Constraints())
  wrong = [*constraints.violations(config, fields)]
  yield from wrong
  # What follows calculates with the fields, and needs them to be sound.
  if not wrong and hasattr(module, 'problems'):
    yield from module.problems(config, dims)


def _module(name: str) -> types.ModuleType:
  return _TABLE[name] if name in _TABLE else importlib.import_module(name)
