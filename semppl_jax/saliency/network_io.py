"""The file of a mask network: its weights and what they are for."""

import hashlib
import json
import os
import pathlib
from typing import Any

import jax
import numpy as np

from semppl_jax.runtime.files import atomic_write
from semppl_jax.saliency import network

_VERSION = 1
_FIELD = 'mask_network'


def write(
  path: str,
  settings: network.Settings,
  params: network.Params,
  origin: str = '',
) -> None:
  """Writes weights as safetensors, whole or not at all.

  Args:
    path: of the file.
    settings: of the network.
    params: its weights.
    origin: what tells what it learned from others.
  """
  from safetensors.numpy import save

  flat = {
    # What is written is the memory as it lies.
    f'{module}:{name}': np.ascontiguousarray(value, np.float32)
    for module, values in params.items()
    for name, value in values.items()
  }
  about = settings._asdict() | {'version': _VERSION, 'origin': origin}
  # One field: of several, the order would be another in each file.
  content = save(flat, metadata={_FIELD: json.dumps(about)})
  with atomic_write(path) as temporary:
    temporary.write_bytes(content)


def read(path: str) -> tuple[network.Settings, network.Params]:
  """Reads what `write` wrote.

  Raises:
    ValueError: it is not there, or no file of a mask network of this version.
  """
  settings, params, _ = _read(path)
  return settings, params


def is_made(path: str, origin: str) -> bool:
  """Whether there is the file of a network that learned from `origin`.

  Raises:
    ValueError: it learned from something else, or as `read`.
  """
  if not os.path.exists(path):
    return False
  if _read(path)[2] != origin:
    raise ValueError(
      f'{path} holds a network that learned from other images, or another'
      ' course; name another --out.'
    )
  return True


def _read(path: str) -> tuple[network.Settings, network.Params, str]:
  """Settings, weights and origin."""
  import safetensors

  try:
    with safetensors.safe_open(path, framework='numpy') as file:
      about = json.loads((file.metadata() or {})[_FIELD])
      flat = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if about.pop('version') != _VERSION:
      raise ValueError('another version')
    origin = about.pop('origin')
    settings = network.Settings(**about | {'heads': tuple(about['heads'])})
    params: Any = {}
    for name, value in flat.items():
      module, leaf = name.split(':')
      params.setdefault(module, {})[leaf] = value
    network.check(settings)
    _check(settings, params)
  except (
    safetensors.SafetensorError,
    AttributeError,
    KeyError,
    OSError,
    TypeError,
    ValueError,
  ) as error:
    raise ValueError(
      f'--network={path} is no file of a mask network of version {_VERSION}, as'
      f' --train_network writes ({type(error).__name__}: {error}).'
    ) from None
  return settings, params, origin


def fingerprint(path: str) -> str:
  """Returns a hash of the file, by which masks of two networks are told apart.

  Raises:
    ValueError: it cannot be read.
  """
  try:
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()[:16]
  except OSError as error:
    raise ValueError(f'--network={path} cannot be read: {error}.') from None


def _check(settings: network.Settings, params: network.Params) -> None:
  made = network.make(settings)
  image = np.zeros((1, settings.side, settings.side, 3), np.uint8)
  # The key inside: nothing here is to start a device.
  want = jax.eval_shape(lambda x: made.init(jax.random.key(0), x), image)
  shapes = jax.tree.map(lambda x: x.shape, want)
  if jax.tree.map(np.shape, params) != shapes:
    raise ValueError('it has not the weights of the network that it says it is')
  if not all(np.isfinite(x).all() for x in jax.tree.leaves(params)):
    raise ValueError('some of its weights are no numbers')
