"""Import of a PyTorch state dict: identifies the network, converts the weights.

Names and shapes identify the network: PAWS, torchvision and timm use the same
names for the same layers. Networks with equal names and shapes cannot be told
apart: timm's `resnetblur`, a stride on the first 1x1 convolution, other
activations, a CIFAR stem of 3x3 with a max-pool.
"""

from collections.abc import Mapping
import re
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from semppl_jax.exchange import architecture, torch_mapping
from semppl_jax.exchange.unpickle import brief
from semppl_jax.models.backbones import resnet
from semppl_jax.models.weights import (
  differences,
  Preprocessing,
  summarize,
  Weights,
  WeightsError,
)

# Keys of the state dict in checkpoints of training programs.
_WRAPPERS = ('state_dict', 'model', 'encoder', 'model_state_dict', 'network')
_ENCODER = re.compile(r'(conv1|bn1|layer\d)\.')

# Of PAWS on CIFAR-10 (suncet src/data_manager.py).
_CIFAR = Preprocessing(
  32, 32, 'bilinear', (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
)


class ImportedWeights(NamedTuple):
  """Weights from a file of another project.

  Attributes:
    weights: the network.
    left_out: names of parameters that it does not use.
  """

  weights: Weights
  left_out: tuple[str, ...]


def import_state_dict(
  tree: object, origin: str, interpolation: str
) -> ImportedWeights:
  """Converts the content of a PyTorch file to weights.

  Args:
    tree: a state dict, or a dict that contains one.
    origin: name of the file, for messages.
    interpolation: interpolation of its images, unless they are CIFAR's.

  Raises:
    WeightsError: no network of this project has such parameters.
  """
  where, state, left_out = _unwrap(tree, origin)
  network = network_of(state, origin)
  heads = _heads(state, network)
  expected = torch_mapping.make_table(network, heads)
  wanted = {
    name: jax.ShapeDtypeStruct(entry.torch_shape(), jnp.float32)
    for entry in expected
    for name in entry.torch_names
  }
  have = {k: v for k, v in state.items() if k in wanted or _ENCODER.match(k)}
  left_out += [brief(name) for name in state if name not in have]
  wrong = differences({where: have}, {where: wanted})
  if wrong:
    raise WeightsError(
      f'{origin} is closest to {describe(network)}, but differs:'
      f' {summarize(wrong)}.'
    )
  params, net_state = torch_mapping.from_torch(expected, have)
  small = network.stem == 'cifar'
  preprocessing = _CIFAR if small else imagenet(interpolation)
  weights = Weights(network, params, net_state, preprocessing, (), origin)
  return ImportedWeights(weights, tuple(sorted(left_out)))


def imagenet(interpolation: str) -> Preprocessing:
  """Returns the usual preprocessing of ImageNet."""
  return Preprocessing(
    256,
    224,
    interpolation,
    architecture.IMAGENET_MEAN,
    architecture.IMAGENET_STD,
  )


def describe(network: ml_collections.ConfigDict) -> str:
  """Returns the name of an architecture: `resnet50 x2, imagenet stem`."""
  kernels = ', selective kernels' if network.selective_kernels else ''
  return f'{network.backbone} x{network.width}{kernels}, {network.stem} stem'


def _unwrap(
  tree: object, origin: str
) -> tuple[str, dict[str, np.ndarray], list[str]]:
  """Returns key and encoder of the state dict, and names of other entries."""
  where, state = 'file', tree
  for name in _WRAPPERS:
    if isinstance(tree, dict) and _arrays(tree.get(name)):
      where, state = name, tree[name]
      break
  state = _arrays(state)
  roots = {
    match[1]
    for name in state
    if (match := re.match(r'(.*?)layer1\.0\.(?:conv|bn)\d', name))
  }
  if len(roots) != 1:
    # Keys only, as the text of nested lists may be endless.
    names = state or (tree if isinstance(tree, dict) else {})
    has = f'has {summarize([brief(name) for name in names])}'
    raise WeightsError(
      f'{origin} has {len(roots)} ResNets (parameters layer1.0.conv1...), and'
      f' must have one; it {has if names else _kind(tree)}.'
    )
  (root,) = roots
  own = {
    k.removeprefix(root): v for k, v in state.items() if k.startswith(root)
  }
  others = [brief(name) for name in state if not name.startswith(root)]
  return where, own, others


def _kind(tree: object) -> str:
  if isinstance(tree, dict):
    return 'is empty'
  return f'is of type {type(tree).__name__}'


def _arrays(tree: object) -> dict[str, np.ndarray]:
  """Returns the arrays of a dict, without counts of updates."""
  if not isinstance(tree, Mapping):
    return {}
  return {
    name: value
    for name, value in tree.items()
    if isinstance(name, str)
    and isinstance(value, np.ndarray)
    and not name.endswith(torch_mapping.COUNTER)
  }


def network_of(
  state: Mapping[str, np.ndarray], origin: str
) -> ml_collections.ConfigDict:
  """Returns the config of the encoder closest to the names and shapes."""
  blocks = tuple(
    len({n.split('.')[1] for n in state if n.startswith(f'layer{group}.')})
    for group in range(1, 5)
  )
  selective = 'layer1.0.conv2.attn.fc_select.weight' in state
  first = _shape(state, 'conv1.weight')
  if blocks == (4, 4, 4, 0) and not selective:
    width = _width(_shape(state, 'layer1.0.conv1.weight'), 32)
    return architecture.network_config(
      backbone='wide_resnet28_2', width=width, stem='cifar'
    )
  bottleneck = selective or 'layer1.0.conv3.weight' in state
  depths = [
    depth
    for depth, counts in resnet.BLOCKS.items()
    if counts == blocks and (depth >= 50) == bottleneck
  ]
  if not depths:
    raise WeightsError(
      f'{origin} has {blocks} residual blocks in its four groups, which no'
      ' backbone has.'
    )
  deep = _shape(state, 'conv1.6.weight')
  if deep and not selective:
    raise WeightsError(
      f'{origin} has a stem of three convolutions (ResNet-D), which is'
      ' supported only with selective kernels.'
    )
  small = len(first) == 4 and first[-1] == 3
  return architecture.network_config(
    backbone=f'resnet{depths[0]}',
    width=_width(deep or first, 64),
    stem='cifar' if small else 'imagenet',
    selective_kernels=selective,
  )


def _width(shape: tuple[int, ...], unit: int) -> int:
  """Returns the closest width multiplier; messages then name differences."""
  channels = shape[0] if shape else unit
  return min(resnet.WIDTHS, key=lambda width: abs(width * unit - channels))


def _heads(
  state: Mapping[str, np.ndarray], network: ml_collections.ConfigDict
) -> tuple[str, ...]:
  """Returns the heads of the state; sets their sizes in `network`."""
  heads = []
  layers = sum(f'fc.fc{i}.weight' in state for i in range(1, 10))
  if layers > 1:
    heads.append('projector')
    network.projector.update(
      hidden=_outputs(state, 'fc.fc1.weight'),
      output=_outputs(state, f'fc.fc{layers}.weight'),
      layers=layers,
      last_bias=f'fc.fc{layers}.bias' in state,
    )
  if 'projector' in heads and 'pred.fc1.weight' in state:
    heads.append('predictor')
    network.predictor.update(
      hidden=_outputs(state, 'pred.fc1.weight'),
      last_bias='pred.fc2.bias' in state,
      # That of PAWS begins with a batch norm.
      input_norm='pred.bn2.weight' in state,
    )
  if 'projector' in heads and len(_shape(state, 'prototypes.weight')) == 2:
    heads.append('prototypes')
    network.prototypes = _outputs(state, 'prototypes.weight')
  if len(_shape(state, 'fc.weight')) == 2:
    heads.append('classifier')
    network.classifier.classes = _outputs(state, 'fc.weight')
  return tuple(heads)


def _outputs(state: Mapping[str, np.ndarray], name: str) -> int:
  shape = _shape(state, name)
  return shape[0] if shape else 0


def _shape(state: Mapping[str, np.ndarray], name: str) -> tuple[int, ...]:
  return tuple(state[name].shape) if name in state else ()
