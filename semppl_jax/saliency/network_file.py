"""The file of a mask network: its weights and what they are for."""

import hashlib
import json
import os
import pathlib

import haiku as hk
import jax
import numpy as np

from semppl_jax.saliency import network

_VERSION = 1


def write(path: str, settings: network.Settings, params: hk.Params) -> None:
  """Writes weights as safetensors, whole or not at all."""
  from safetensors.numpy import save

  flat = {
    f'{module}:{name}': np.asarray(value, np.float32)
    for module, values in params.items()
    for name, value in values.items()
  }
  about = settings._asdict() | {'version': _VERSION}
  content = save(flat, metadata={'mask_network': json.dumps(about)})
  partial = pathlib.Path(f'{path}.partial')
  partial.write_bytes(content)
  os.replace(partial, path)


def read(path: str) -> tuple[network.Settings, hk.Params]:
  """Reads what `write` wrote.

  Raises:
    ValueError: it is not there, or no file of a mask network of this version.
  """
  import safetensors

  try:
    with safetensors.safe_open(path, framework='numpy') as file:
      about = json.loads((file.metadata() or {}).get('mask_network', 'null'))
      flat = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
  except (safetensors.SafetensorError, OSError) as error:
    raise ValueError(
      f'--network={path} is no file of a mask network, as --train_network'
      f' writes: {error}.'
    ) from None
  if not about or about.pop('version') != _VERSION:
    raise ValueError(
      f'--network={path} is no file of a mask network of version {_VERSION};'
      ' make it by --train_network.'
    )
  settings = network.Settings(**about | {'heads': tuple(about['heads'])})
  params: dict[str, dict[str, np.ndarray]] = {}
  for name, value in flat.items():
    module, leaf = name.split(':')
    params.setdefault(module, {})[leaf] = value
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


def _check(path: str, settings: network.Settings, params: hk.Params) -> None:
  made = network.make(settings)
  image = np.zeros((1, settings.side, settings.side, 3), np.uint8)
  want = jax.eval_shape(made.init, jax.random.key(0), image)
  shapes = jax.tree.map(lambda x: x.shape, want)
  if jax.tree.map(np.shape, params) != shapes:
    raise ValueError(
      f'--network={path} has not the weights of the network that it says it is.'
    )
