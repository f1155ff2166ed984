"""The `config.json` that timm and the Hugging Face hub keep beside weights.

It names the architecture, which decides where names and shapes do not, and the
preprocessing.
"""

import json
import math
import pathlib
from typing import Any

from semppl_jax.exchange import weights_dir
from semppl_jax.exchange.torch_import import ImportedWeights
from semppl_jax.models.weights import Preprocessing, WeightsError

FILE = 'config.json'
_MAX_BYTES = 2**20


def apply(path: pathlib.Path, imported: ImportedWeights) -> ImportedWeights:
  """Corrects imported weights by the config beside their file, if it has one.

  Args:
    path: the file of the weights.
    imported: what names and shapes tell of them.

  Raises:
    WeightsError: the config is one of timm and has an invalid preprocessing.
  """
  config = _read(path.with_name(FILE))
  architecture = config.get('architecture')
  if not isinstance(architecture, str):
    return imported
  weights = imported.weights
  network = weights.network.copy_and_resolve_references()
  # timm trained `efficientnet_lite` anew, padded as PyTorch pads; those of
  # TensorFlow are `tf_efficientnet_lite`.
  if network.backbone.startswith('efficientnet_lite') and (
    architecture.startswith('efficientnet_lite')
  ):
    network.update(padding='torch', bn_eps=1e-5)
  own = config.get('pretrained_cfg', config)
  preprocessing = weights.preprocessing
  if isinstance(own, dict) and 'mean' in own:
    preprocessing = _preprocessing(own, path.with_name(FILE))
  weights = weights._replace(network=network, preprocessing=preprocessing)
  return imported._replace(weights=weights)


def _read(file: pathlib.Path) -> dict[str, Any]:
  """Returns the content of a config, empty for any other file."""
  try:
    if file.stat().st_size > _MAX_BYTES:
      return {}
    content = json.loads(file.read_text())
  except (OSError, ValueError, RecursionError):
    return {}
  return content if isinstance(content, dict) else {}


def _preprocessing(config: dict[str, Any], file: pathlib.Path) -> Preprocessing:
  try:
    size = int(config['input_size'][-1])
    preprocessing = Preprocessing(
      resize=math.floor(size / float(config.get('crop_pct', 0.875))),
      crop=size,
      interpolation=config['interpolation'],
      mean=tuple(map(float, config['mean'])),
      std=tuple(map(float, config['std'])),
    )
    problem = weights_dir.preprocessing_problem(preprocessing)
  except (KeyError, IndexError, TypeError, ValueError, ZeroDivisionError):
    problem = 'it needs input_size, crop_pct, interpolation, mean and std'
  if problem:
    raise WeightsError(f'{file} has an invalid preprocessing: {problem}.')
  return preprocessing
