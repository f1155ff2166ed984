"""Export as `safetensors` under the names of torchvision and timm.

A PyTorch network that loads the file computes the same features;
`torch_mapping` has the names and the network. The metadata in the file have the
config, the normalization and the class names as JSON.
"""

import json
import pathlib

import ml_collections
import numpy as np

from semppl_jax.exchange import (
  inference,
  torch_mapping,
  torch_names,
  torch_reader,
  torch_reference,
  weights_dir,
)
from semppl_jax.exchange.inference import HostFn
from semppl_jax.models.weights import Preprocessing, Weights, WeightsError

# PyTorch sums float32 in another order, in up to 200 layers.
TOLERANCE = 1e-4
KEY = 'semppl_jax'
_PADDINGS = {'same': "as XLA's SAME", 'torch': 'equally on all sides'}


def check(weights: Weights, heads: tuple[str, ...]) -> None:
  """Checks that a PyTorch network computes the same."""
  network, reason = weights.network, None
  heads = inference.required_heads(network, heads)
  naming = torch_names.of_network(network)
  if naming is None or network.stem == 'space_to_depth':
    reason = (
      f'{network.backbone} with the stem {network.stem!r} has no counterpart in'
      ' PyTorch'
    )
  elif network.padding != naming.padding:
    reason = (
      f'it pads {_PADDINGS[network.padding]} (network.padding='
      f'{network.padding!r}), and its counterpart in PyTorch'
      f' {_PADDINGS[naming.padding]}'
    )
  elif network.bn_eps != naming.bn_eps:
    reason = (
      f'network.bn_eps is {network.bn_eps} and PyTorch adds {naming.bn_eps}'
    )
  elif (
    naming.classifier == 'fc' and 'classifier' in heads and 'projector' in heads
  ):
    reason = (
      "PyTorch's ResNets have one `fc`, and classifier and projector would both"
      ' be it; export one of them'
    )
  if reason:
    raise WeightsError(
      f'safetensors cannot hold this network: {reason}; onnx, stablehlo and'
      ' saved_model hold it exactly.'
    )


def write(path: pathlib.Path, weights: Weights, heads: tuple[str, ...]) -> None:
  """Writes the encoder and `heads`."""
  import safetensors.numpy

  names = torch_mapping.make_table(
    weights.network, inference.required_heads(weights.network, heads)
  )
  state = torch_mapping.to_torch(names, weights.params, weights.net_state)
  about = weights_dir.describe(weights) | {'heads': list(heads)}
  if weights.network.selective_kernels:
    about['note'] = torch_names.SELECTIVE_NOTE
  metadata = {'format': 'pt', KEY: json.dumps(about)}
  safetensors.numpy.save_file(state, path, metadata)


def read_back(path: pathlib.Path) -> HostFn:
  """Returns the function that PyTorch computes.

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
  preprocessing = weights_dir.preprocessing(about['preprocessing'])
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
        for values in (preprocessing.mean, preprocessing.std)
      )
      outputs = {'features': network.features((pixels - mean) / std)}
      if {'projector', 'predictor', 'prototypes'} & set(heads):
        outputs['projection'] = network.head(outputs['features'], 'fc')
      if 'predictor' in heads:
        outputs['prediction'] = network.head(outputs['projection'], 'pred')
      if 'prototypes' in heads:
        outputs['scores'] = network.scores(outputs['projection'])
      if 'classifier' in heads:
        outputs['logits'] = network.logits(outputs['features'])
      return {
        name: outputs[name].numpy() for name in inference.output_names(heads)
      }

  return run


def read_description(
  metadata: dict[str, str],
) -> tuple[Preprocessing, tuple[str, ...]] | None:
  """Returns preprocessing and class names in metadata of `write`, else None."""
  try:
    about = json.loads(metadata[KEY])
    preprocessing = weights_dir.preprocessing(about['preprocessing'])
    names = tuple(map(str, about['class_names']))
    problem = weights_dir.preprocessing_problem(preprocessing)
  except (KeyError, TypeError, ValueError, RecursionError):
    return None
  return None if problem else (preprocessing, names)
