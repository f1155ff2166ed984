"""Exports as `safetensors` under torchvision's and timm's names.

A PyTorch network that loads the file computes the same features: the names and
what the network must be are in `torch_names`. The file's metadata have the
settings, the normalisation and the class names as JSON.
"""

from collections.abc import Callable
import json
import pathlib
from typing import Any

import ml_collections
import numpy as np

from semppl_jax.exchange import (
  inference,
  torch_mapping,
  torch_reader,
  torch_reference,
  weights_dir,
)
from semppl_jax.models.weights import Preprocessing, Weights, WeightsError

# Largest difference, over the largest value of an output: float32 sums of up to
# 200 layers in another order.
TOLERANCE = 1e-4
KEY = 'semppl_jax'

_OTHERS = 'onnx, stablehlo and saved_model hold it exactly'


def check(weights: Weights, heads: tuple[str, ...]) -> None:
  """Stops on what PyTorch's networks do not compute.

  Raises:
    WeightsError: says what, and which formats can.
  """
  reason = _reason(weights.network, inference.carried(weights.network, heads))
  if reason:
    raise WeightsError(f'safetensors cannot hold this network: {reason}.')


def _reason(
  network: ml_collections.ConfigDict, heads: tuple[str, ...]
) -> str | None:
  if network.backbone == 'resnet_tiny' or network.stem == 'space_to_depth':
    return (
      f'{network.backbone} with the stem {network.stem!r} has no counterpart in'
      f' PyTorch; {_OTHERS}'
    )
  if network.padding == 'same':
    return (
      "it pads as XLA's SAME (network.padding='same'), and PyTorch pads strided"
      ' convolutions and the max-pool alike on all sides, so that its features'
      f' would differ; {_OTHERS}'
    )
  if network.bn_eps != 1e-5:
    return (
      f'network.bn_eps is {network.bn_eps} and PyTorch adds 1e-05; {_OTHERS}'
    )
  if 'classifier' in heads and 'projector' in heads:
    return (
      "PyTorch's ResNets have one `fc`, and both the classifier and the"
      f' projector would be it; export one of them, or {_OTHERS}'
    )
  return None


def write(path: pathlib.Path, weights: Weights, heads: tuple[str, ...]) -> None:
  """Writes the encoder and `heads`."""
  import safetensors.numpy

  names = torch_mapping.table(
    weights.network, inference.carried(weights.network, heads)
  )
  state = torch_mapping.to_torch(names, weights.params, weights.net_state)
  about = weights_dir.describe(weights) | {'heads': list(heads)}
  if weights.network.selective_kernels:
    about['note'] = torch_mapping.SELECTIVE_NOTE
  metadata = {'format': 'pt', KEY: json.dumps(about)}
  safetensors.numpy.save_file(state, path, metadata)


def read_back(
  path: pathlib.Path,
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
  """Returns what PyTorch computes of uint8 images [n, crop, crop, 3].

  Raises:
    WeightsError: PyTorch is not installed.
  """
  try:
    import torch
  except ImportError:
    raise WeightsError(
      'Comparing a safetensors file with the original needs PyTorch, which is'
      ' not installed.'
    ) from None

  arrays, metadata = torch_reader.read_safetensors(path)
  about = json.loads(metadata[KEY])
  prepared = weights_dir.preprocessing(about['preprocessing'])
  state = {name: torch.from_numpy(value) for name, value in arrays.items()}
  network = torch_reference.TorchNetwork(
    state, ml_collections.ConfigDict(about['network'])
  )
  heads = tuple(about['heads'])

  def run(images: np.ndarray) -> dict[str, np.ndarray]:
    with torch.inference_mode():
      pixels = torch.from_numpy(np.moveaxis(images, -1, 1)).float() / 255
      mean, std = (
        torch.tensor(values).reshape(3, 1, 1)
        for values in (prepared.mean, prepared.std)
      )
      made = {'features': network.features((pixels - mean) / std)}
      if {'projector', 'predictor', 'prototypes'} & set(heads):
        made['projection'] = network.head(made['features'], 'fc')
      if 'predictor' in heads:
        made['prediction'] = network.head(made['projection'], 'pred')
      if 'prototypes' in heads:
        made['scores'] = network.scores(made['projection'])
      if 'classifier' in heads:
        made['logits'] = network.linear(made['features'], 'fc')
      return {name: made[name].numpy() for name in inference.outputs(heads)}

  return run


def described(
  metadata: dict[str, str],
) -> tuple[Preprocessing, tuple[str, ...]] | None:
  """Preprocessing and class names of a file that `write` wrote, else None."""
  try:
    about: Any = json.loads(metadata[KEY])
    prepared = weights_dir.preprocessing(about['preprocessing'])
    names = tuple(map(str, about['class_names']))
    wrong = weights_dir.problem(prepared)
  except (KeyError, TypeError, ValueError, RecursionError):
    return None
  return None if wrong else (prepared, names)
