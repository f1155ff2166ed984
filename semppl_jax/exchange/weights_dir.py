"""Weights in a directory of their own: what `import_weights` writes.

The arrays are an orbax checkpoint; `weights.json` says what they are.
"""

from collections.abc import Sequence
import json
import math
import pathlib
from typing import Any

import ml_collections
import numpy as np
import orbax.checkpoint as ocp

from semppl_jax.models.weights import Preprocessing, Weights, WeightsError
from semppl_jax.runtime.files import write_text

FILE = 'weights.json'
_ARRAYS = 'arrays'
INTERPOLATIONS = ('bicubic', 'bilinear')
_MOST_SIDE = 10_000


def holds(path: pathlib.Path) -> bool:
  """Whether a directory was written by `write`."""
  return (path / FILE).is_file()


def write(path: pathlib.Path, weights: Weights) -> None:
  """Writes weights; the description last, so that a torn write is no weights.

  Raises:
    WeightsError: the directory has weights already.
  """
  if holds(path):
    raise WeightsError(f'{path} holds weights already; name another directory.')
  path.mkdir(parents=True, exist_ok=True)
  with ocp.StandardCheckpointer() as writer:
    writer.save(
      (path / _ARRAYS).absolute(),
      {'params': weights.params, 'net_state': weights.net_state},
      force=True,
    )
  write_text(path / FILE, json.dumps(describe(weights), indent=2) + '\n')


def read(path: pathlib.Path) -> Weights:
  """Reads what `write` wrote.

  Raises:
    WeightsError: a part of it is gone or damaged.
  """
  try:
    said = json.loads((path / FILE).read_text())
    arrays = host_arrays((path / _ARRAYS).absolute(), ('params', 'net_state'))
    return Weights(
      network=ml_collections.ConfigDict(said['network']),
      params=arrays['params'],
      net_state=arrays['net_state'],
      preprocessing=preprocessing(said['preprocessing']),
      class_names=tuple(said['class_names']),
      origin=said['origin'],
    )
  except KeyError as error:
    raise WeightsError(f'{path} is damaged: it has no {error}.') from error
  except (OSError, ValueError, TypeError, RecursionError) as error:
    raise WeightsError(f'{path} is damaged: {first_line(error)}.') from error


def describe(weights: Weights) -> dict[str, Any]:
  """All of the weights but their arrays, as JSON holds it."""
  return {
    'origin': weights.origin,
    'network': weights.network.to_dict(),
    'heads': list(weights.heads),
    'preprocessing': weights.preprocessing._asdict(),
    'class_names': list(weights.class_names),
  }


def preprocessing(values: dict[str, Any]) -> Preprocessing:
  """The preprocessing that `describe` described."""
  return Preprocessing(
    resize=values['resize'],
    crop=values['crop'],
    interpolation=values['interpolation'],
    mean=tuple(values['mean']),
    std=tuple(values['std']),
  )


def problem(prepared: Preprocessing) -> str | None:
  """Says what of a preprocessing of RGB images cannot be; None if all can."""
  for name in ('resize', 'crop'):
    side = getattr(prepared, name)
    if not isinstance(side, int) or not 1 <= side <= _MOST_SIDE:
      return f'{name}={side!r} must be a whole number from 1 to {_MOST_SIDE}'
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


def host_arrays(path: pathlib.Path, names: Sequence[str]) -> Any:
  """Reads some top entries of an orbax checkpoint as NumPy arrays.

  The devices that it was saved on need not be there, and entries that are not
  named, such as queues and optimisers, are not read.
  """
  with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
    found = reader.metadata(path).item_metadata
    if found is None:
      raise ValueError(f'{path} holds no arrays')
    tree = found.tree
    missing = sorted(set(names) - set(tree))
    if missing:
      raise ValueError(f'it has no {missing[0]!r}')
    wanted = {name: tree[name] for name in names}
    as_numpy = ocp.RestoreArgs(restore_type=np.ndarray)
    return reader.restore(
      path,
      args=ocp.args.PyTreeRestore(
        item=_map(lambda _: 0, wanted),
        restore_args=_map(lambda _: as_numpy, wanted),
        partial_restore=True,
      ),
    )


def _map(f: Any, tree: Any) -> Any:
  if isinstance(tree, dict):
    return {key: _map(f, value) for key, value in tree.items()}
  return f(tree)


def first_line(error: Exception) -> str:
  """The first line of a message, or the error's kind."""
  return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
