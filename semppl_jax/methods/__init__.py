"""The table of methods. A new one is a module with `make` and a line here.

A module outside this package needs no line: `config.method` may be its dotted
name, as in `docs/add_a_method.md`. What a module may have:

- `make(config, setting) -> Method`;
- `FIELDS`, a `ranges.Tables` of what its fields may be (or nothing);
- `problems(config, facts)`, sentences for what else is impossible (or nothing).
"""

from collections.abc import Iterator
import importlib
from typing import Any

import ml_collections

from semppl_jax import ranges
from semppl_jax.facts import Facts
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
from semppl_jax.methods.method import Method, Setting

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


def problems(config: ml_collections.ConfigDict, facts: Facts) -> Iterator[str]:
  """Yields a sentence for each field that the method cannot work with."""
  try:
    module = _module(config.method)
  except ImportError as error:
    yield f'config.method={config.method!r} cannot be imported: {error}.'
    return
  if not hasattr(module, 'make'):
    yield f'config.method={config.method!r} must be a module with a `make`.'
    return
  found = [*ranges.outside(config, getattr(module, 'FIELDS', ranges.Tables()))]
  yield from found
  # What follows calculates with the fields, and needs them to be sound.
  if not found and hasattr(module, 'problems'):
    yield from module.problems(config, facts)


def is_outside(name: str) -> bool:
  """Whether a method is a module of its own and not of the table."""
  return name not in _TABLE and '.' in name


def _module(name: str) -> Any:
  return importlib.import_module(name) if is_outside(name) else _TABLE[name]
