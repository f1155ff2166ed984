"""Weights in the files of others, recognised by their content."""

import pathlib

from semppl_jax.exchange import (
  deepmind_import,
  to_safetensors,
  torch_import,
  torch_reader,
)
from semppl_jax.exchange.torch_import import Found
from semppl_jax.models.weights import Weights, WeightsError

_TAR = (257, b'ustar')
# No header of a file of weights is larger (safetensors' own limit).
_MOST_HEADER = 100_000_000


def read(path: pathlib.Path, which: str = 'online') -> Weights:
  """Reads the network of a file: see `find`."""
  return find(path, which).weights


def find(path: pathlib.Path, which: str = 'online') -> Found:
  """Reads a file of DeepMind's, PAWS's, torchvision's or timm's.

  Nothing in it is run. The architecture is found by names and shapes.

  Args:
    path: the file.
    which: of DeepMind's two networks, `'online'` or `'target'`.

  Returns:
    The network, and the names of parameters that there is no place for.

  Raises:
    WeightsError: it is of no known kind, damaged, or of another network; names
      what is missing, surplus or of another shape.
  """
  if which not in deepmind_import.NETWORKS:
    raise WeightsError(
      f'--network={which} must be one of {", ".join(deepmind_import.NETWORKS)}.'
    )
  try:
    with path.open('rb') as file:
      start = file.read(512)
  except OSError as error:
    raise WeightsError(f'{path} cannot be read: {error.strerror}.') from None
  if start.startswith((torch_reader.ZIP_START, torch_reader.LEGACY_START)):
    _refuse_target(which, path, 'of PyTorch')
    return torch_import.find(torch_reader.read(path), str(path), 'bilinear')
  if _is_safetensors(start):
    _refuse_target(which, path, 'of safetensors')
    return _from_safetensors(path)
  if start[_TAR[0] :].startswith(_TAR[1]):
    raise WeightsError(
      f'{path} is a tar archive (PyTorch before 0.1.10, or a folder): unpack it'
      ' or save it again with PyTorch.'
    )
  if not start.startswith((b'\x80', b'(', b'}', b'c')):
    raise WeightsError(
      f'{path} is no file of PyTorch (.pth, .pt, .pth.tar), no safetensors and'
      " no pickle of DeepMind's."
    )
  tree = deepmind_import.read(path)
  if isinstance(tree, dict) and 'experiment_state' in tree:
    return deepmind_import.find(tree, str(path), which)
  _refuse_target(which, path, 'of a pickled state dict')
  # Some pickle a state dict of arrays by themselves.
  return torch_import.find(tree, str(path), 'bilinear')


def _refuse_target(which: str, path: pathlib.Path, kind: str) -> None:
  if which != 'online':
    raise WeightsError(
      f"--network={which} is of DeepMind's checkpoints alone, and {path} is a"
      f' file {kind}.'
    )


def _is_safetensors(start: bytes) -> bool:
  length = int.from_bytes(start[:8], 'little')
  return start[8:9] == b'{' and 2 <= length <= _MOST_HEADER


def _from_safetensors(path: pathlib.Path) -> Found:
  state, metadata = torch_reader.read_safetensors(path)
  found = torch_import.find(state, str(path), 'bicubic')
  said = to_safetensors.described(metadata)
  if said is None:
    return found
  prepared, names = said
  classes = found.weights.network.classifier.classes
  has_classifier = 'classifier' in found.weights.heads
  if names and has_classifier and len(names) != classes:
    raise WeightsError(
      f'{path} has {len(names)} class names for a classifier of {classes}'
      ' classes.'
    )
  weights = found.weights._replace(preprocessing=prepared, class_names=names)
  return found._replace(weights=weights)
