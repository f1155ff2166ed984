"""Loader of weights from a run, a directory of weights, or a foreign file.

A file is recognized by its content.
"""

import pathlib

from semppl_jax.exchange import (
  deepmind_import,
  run_checkpoint,
  timm_config,
  to_safetensors,
  torch_import,
  torch_reader,
  weights_dir,
)
from semppl_jax.exchange.torch_import import ImportedWeights
from semppl_jax.models.weights import Weights, WeightsError

_TAR = (257, b'ustar')
_MAX_HEADER = 100_000_000  # Bytes; the limit of safetensors itself.


def load(path: str | pathlib.Path) -> Weights:
  """Reads the network of a run, a directory of weights or a file.

  Args:
    path: a run, `RUN/checkpoints/STEP`, the output of `import_weights`, or a
      file that `import_weights` reads.

  Raises:
    WeightsError: it is not found, or cannot be read.
  """
  place = pathlib.Path(path).expanduser()
  if not place.exists():
    raise WeightsError(f'{place} not found.')
  if place.is_file():
    return import_file(place).weights
  if weights_dir.is_weights_dir(place):
    return weights_dir.read(place)
  if run_checkpoint.is_run(place):
    return run_checkpoint.read(place)
  raise WeightsError(
    f'{place} is neither a run (checkpoints/ not found) nor a directory of'
    f' weights ({weights_dir.FILE} not found).'
  )


def import_file(path: pathlib.Path, network: str = 'online') -> ImportedWeights:
  """Reads a file of DeepMind, PAWS, torchvision or timm.

  Nothing in the file is executed. Names and shapes identify the architecture.

  Args:
    path: the file.
    network: `'online'` or `'target'` network of a DeepMind file.

  Returns:
    The network, and the names of parameters that are left out.

  Raises:
    WeightsError: the file is of an unknown kind, damaged, or of another
      network; names parameters that are missing, surplus or of another shape.
  """
  if network not in deepmind_import.NETWORKS:
    raise WeightsError(
      f'--network={network} must be one of'
      f' {", ".join(deepmind_import.NETWORKS)}.'
    )
  try:
    with path.open('rb') as file:
      start = file.read(512)
  except OSError as error:
    raise WeightsError(f'{path} cannot be read: {error.strerror}.') from None
  if start.startswith((torch_reader.ZIP_START, torch_reader.LEGACY_START)):
    _require_online(network, path, 'PyTorch file')
    tree = torch_reader.read(path)
    imported = torch_import.import_state_dict(tree, str(path), 'bilinear')
    return timm_config.apply(path, imported)
  if _is_safetensors(start):
    _require_online(network, path, 'safetensors file')
    return _import_safetensors(path)
  if start[_TAR[0] :].startswith(_TAR[1]):
    raise WeightsError(
      f'{path} is a tar archive (PyTorch before 0.1.10, or a folder): unpack it'
      ' or save it again with PyTorch.'
    )
  if not start.startswith((b'\x80', b'(', b'}', b'c')):
    raise WeightsError(
      f'{path} is not a PyTorch file (.pth, .pt, .pth.tar), not safetensors and'
      ' not a pickle of DeepMind.'
    )
  tree = deepmind_import.read(path)
  if isinstance(tree, dict) and 'experiment_state' in tree:
    return deepmind_import.import_tree(tree, str(path), network)
  # Some projects pickle a state dict of arrays without PyTorch.
  _require_online(network, path, 'pickled state dict')
  return torch_import.import_state_dict(tree, str(path), 'bilinear')


def _require_online(network: str, path: pathlib.Path, kind: str) -> None:
  if network != 'online':
    raise WeightsError(
      f'--network={network} is for checkpoints of DeepMind, and {path} is a'
      f' {kind}.'
    )


def _is_safetensors(start: bytes) -> bool:
  length = int.from_bytes(start[:8], 'little')
  return start[8:9] == b'{' and 2 <= length <= _MAX_HEADER


def _import_safetensors(path: pathlib.Path) -> ImportedWeights:
  state, metadata = torch_reader.read_safetensors(path)
  imported = torch_import.import_state_dict(state, str(path), 'bicubic')
  description = to_safetensors.read_description(metadata)
  if description is None:
    return timm_config.apply(path, imported)
  preprocessing, names = description
  weights = imported.weights
  classes = weights.network.classifier.classes
  if names and 'classifier' in weights.heads and len(names) != classes:
    raise WeightsError(
      f'{path} has {len(names)} class names for a classifier of {classes}'
      ' classes.'
    )
  weights = weights._replace(preprocessing=preprocessing, class_names=names)
  return imported._replace(weights=weights)
