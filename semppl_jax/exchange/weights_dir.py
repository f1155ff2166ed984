"""Directory of weights: an orbax checkpoint, described by `weights.json`."""

from collections.abc import Mapping, Sequence
import json
import math
import pathlib
from typing import Any

import jax
from jaxtyping import PyTree
import ml_collections
import numpy as np
import orbax.checkpoint as ocp

from semppl_jax.models.weights import Preprocessing, Weights, WeightsError
from semppl_jax.runtime.errors import first_line
from semppl_jax.runtime.files import write_text

FILE = 'weights.json'
_ARRAYS = 'arrays'
INTERPOLATIONS = ('bicubic', 'bilinear')
_MAX_SIDE = 10_000


def is_weights_dir(path: pathlib.Path) -> bool:
  """Returns True for a directory that `write` wrote."""
  return (path / FILE).is_file()


def write(path: pathlib.Path, weights: Weights) -> None:
  """Writes weights; the description last, as it marks the directory complete.

  Raises:
    WeightsError: the directory already holds weights.
  """
  if is_weights_dir(path):
    raise WeightsError(f'{path} already holds weights; name another directory.')
  path.mkdir(parents=True, exist_ok=True)
  with ocp.StandardCheckpointer() as writer:
    writer.save(
      (path / _ARRAYS).absolute(),
      {'params': weights.params, 'net_state': weights.net_state},
      force=True,
    )
  write_text(path / FILE, json.dumps(describe(weights), indent=2) + '\n')


def read(path: pathlib.Path) -> Weights:
  """Reads a directory that `write` wrote.

  Raises:
    WeightsError: a part of it is missing or damaged.
  """
  try:
    description = json.loads((path / FILE).read_text())
    arrays = host_arrays((path / _ARRAYS).absolute(), ('params', 'net_state'))
    return Weights(
      network=ml_collections.ConfigDict(description['network']),
      params=arrays['params'],
      net_state=arrays['net_state'],
      preprocessing=preprocessing(description['preprocessing']),
      class_names=tuple(description['class_names']),
      origin=description['origin'],
    )
  except KeyError as error:
    raise WeightsError(f'{path} is damaged: {error} not found.') from error
  except (OSError, ValueError, TypeError, RecursionError) as error:
    raise WeightsError(f'{path} is damaged: {first_line(error)}.') from error


def describe(weights: Weights) -> dict[str, object]:
  """Returns all fields but the arrays, for JSON."""
  return {
    'origin': weights.origin,
    'network': weights.network.to_dict(),
    'heads': list(weights.heads),
    'preprocessing': weights.preprocessing._asdict(),
    'class_names': list(weights.class_names),
  }


def preprocessing(values: Mapping[str, Any]) -> Preprocessing:
  """Returns the preprocessing from its fields in JSON."""
  return Preprocessing(
    resize=values['resize'],
    crop=values['crop'],
    interpolation=values['interpolation'],
    mean=tuple(values['mean']),
    std=tuple(values['std']),
  )


def preprocessing_problem(prepared: Preprocessing) -> str | None:
  """Returns a clause on a field that is not allowed, or None."""
  for name in ('resize', 'crop'):
    side = getattr(prepared, name)
    if not isinstance(side, int) or not 1 <= side <= _MAX_SIDE:
      return f'{name}={side!r} must be a whole number from 1 to {_MAX_SIDE}'
  if prepared.crop > prepared.resize:
    return f'crop={prepared.crop} must be at most resize={prepared.resize}'
  if prepared.interpolation not in INTERPOLATIONS:
    return (
      f'interpolation={prepared.interpolation} must be one of'
      f' {", ".join(INTERPOLATIONS)}'
    )
  for name, low in (('mean', -math.inf), ('std', 0)):
    values = getattr(prepared, name)
    if len(values) != 3 or not all(
      isinstance(x, int | float) and low < x < math.inf for x in values
    ):
      positive = 'positive ' if low == 0 else ''
      given = ','.join(map(str, values[:4]))
      return f'{name}={given} must be three {positive}numbers'
  return None


def host_arrays(path: pathlib.Path, names: Sequence[str]) -> dict[str, PyTree]:
  """Reads some top-level entries of an orbax checkpoint as NumPy arrays.

  The devices that it was saved from need not exist, and other entries, such as
  queues and optimizers, are not read.
  """
  with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
    metadata = reader.metadata(path).item_metadata
    if metadata is None:
      raise ValueError(f'{path} holds no arrays')
    tree = metadata.tree
    missing = sorted(set(names) - set(tree))
    if missing:
      raise ValueError(f'{missing[0]!r} not found')
    wanted = {name: tree[name] for name in names}
    as_numpy = ocp.RestoreArgs(restore_type=np.ndarray)
    return reader.restore(
      path,
      args=ocp.args.PyTreeRestore(
        item=jax.tree.map(lambda _: 0, wanted),
        restore_args=jax.tree.map(lambda _: as_numpy, wanted),
        partial_restore=True,
      ),
    )
