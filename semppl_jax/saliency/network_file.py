"""The file of a mask network: its weights and what they are for."""

import hashlib
import json
import os
import pathlib
from typing import Any

import jax
import numpy as np

from semppl_jax.saliency import network

_VERSION = 1


def write(
  path: str, settings: network.Settings, params: network.Params
) -> None:
  """Writes weights as safetensors, whole or not at all."""
  from safetensors.numpy import save

  flat = {
    # What is written is the memory as it lies.
    f'{module}:{name}': np.ascontiguousarray(value, np.float32)
    for module, values in params.items()
    for name, value in values.items()
  }
  about = settings._asdict() | {'version': _VERSION}
  content = save(flat, metadata={'mask_network': json.dumps(about)})
  partial = pathlib.Path(f'{path}.partial')
  partial.write_bytes(content)
  os.replace(partial, path)


def read(path: str) -> tuple[network.Settings, network.Params]:
  """Reads what `write` wrote.

  Raises:
    ValueError: it is not there, or no file of a mask network of this version.
  """
  import safetensors

  try:
    with safetensors.safe_open(path, framework='numpy') as file:
      settings = _settings((file.metadata() or {})['mask_network'])
      flat = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    params: Any = {}
    for name, value in flat.items():
      module, leaf = name.split(':')
      params.setdefault(module, {})[leaf] = value
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
  _check(path, settings, params)
  return settings, params


def fingerprint(path: str) -> str:
  """Returns a hash of the file, by which masks of two networks are told apart.

  Raises:
    ValueError: it cannot be read.
  """
  try:
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()[:16]
  except OSError as error:
    raise ValueError(f'--network={path} cannot be read: {error}.') from None


def _settings(about: str) -> network.Settings:
  found = json.loads(about)
  if found.pop('version') != _VERSION:
    raise ValueError('another version')
  return network.Settings(**found | {'heads': tuple(found['heads'])})


def _check(
  path: str, settings: network.Settings, params: network.Params
) -> None:
  made = network.make(settings)
  image = np.zeros((1, settings.side, settings.side, 3), np.uint8)
  # The key inside: nothing here is to start a device.
  want = jax.eval_shape(lambda x: made.init(jax.random.key(0), x), image)
  shapes = jax.tree.map(lambda x: x.shape, want)
  if jax.tree.map(np.shape, params) != shapes:
    raise ValueError(
      f'--network={path} has not the weights of the network that it says it is.'
    )
