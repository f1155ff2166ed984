"""Architecture of the encoder of a state dict, from names and shapes.

Networks with equal names and shapes cannot be told apart: timm's `resnetblur`,
a stride on the first 1x1 convolution, other activations, a CIFAR stem of 3x3
with a max-pool.
"""

from collections.abc import Mapping
import re

import ml_collections
import numpy as np

from semppl_jax.exchange import architecture, torch_names
from semppl_jax.exchange.torch_names import Naming
from semppl_jax.models.backbones import efficientnet_lite, resnet
from semppl_jax.models.weights import Preprocessing, WeightsError

# Of PAWS on CIFAR-10 (suncet src/data_manager.py).
_CIFAR = Preprocessing(
  32, 32, 'bilinear', (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
)
# Of EfficientNet-Lite by size: the resize before the crop, as in timm.
_LITE_RESIZE = {0: 256, 1: 272, 2: 292, 3: 309, 4: 326}


def network_of(
  state: Mapping[str, np.ndarray], naming: Naming, origin: str
) -> ml_collections.ConfigDict:
  """Returns the config of the encoder closest to the names and shapes.

  Args:
    state: arrays of the encoder, without the prefix of their names.
    naming: the naming that they follow.
    origin: name of the file, for messages.

  Raises:
    WeightsError: no backbone is close.
  """
  if naming is torch_names.RESNET:
    return _resnet(state, origin)
  return _efficientnet_lite(state, naming)


def preprocessing(
  network: ml_collections.ConfigDict, interpolation: str
) -> Preprocessing:
  """Returns the usual preprocessing of an architecture.

  Args:
    network: `config.network`.
    interpolation: interpolation of ImageNet's pictures for ResNets.
  """
  if network.stem == 'cifar':
    return _CIFAR
  if network.backbone.startswith('efficientnet_lite'):
    size = torch_names.lite_size(network)
    half = (0.5, 0.5, 0.5)
    crop = efficientnet_lite.SIZES[size][2]
    return Preprocessing(_LITE_RESIZE[size], crop, 'bicubic', half, half)
  return imagenet(interpolation)


def imagenet(interpolation: str) -> Preprocessing:
  """Returns the usual preprocessing of ImageNet."""
  return Preprocessing(
    256,
    224,
    interpolation,
    architecture.IMAGENET_MEAN,
    architecture.IMAGENET_STD,
  )


def shape_of(state: Mapping[str, np.ndarray], name: str) -> tuple[int, ...]:
  """Returns the shape of an array, or () if there is none."""
  return tuple(state[name].shape) if name in state else ()


def _efficientnet_lite(
  state: Mapping[str, np.ndarray], naming: Naming
) -> ml_collections.ConfigDict:
  depthwise = r'_?blocks\.[\d.]+\._?(conv_dw|depthwise_conv)\.weight'
  blocks = sum(bool(re.fullmatch(depthwise, name)) for name in state)
  head = '_conv_head' if naming is torch_names.PYTORCH_LITE else 'conv_head'
  last = (*shape_of(state, f'{head}.weight'), 0, 0)[1]

  def distance(size: int) -> tuple[int, int]:
    stages = efficientnet_lite.stages(size)
    return (
      abs(sum(stage.blocks for stage in stages) - blocks),
      abs(stages[-1].channels - last),
    )

  size = min(efficientnet_lite.SIZES, key=distance)
  return architecture.network_config(
    backbone=f'efficientnet_lite{size}',
    padding=naming.padding,
    bn_eps=naming.bn_eps,
    bn_decay=0.99,
  )


def _resnet(
  state: Mapping[str, np.ndarray], origin: str
) -> ml_collections.ConfigDict:
  blocks = tuple(
    len({n.split('.')[1] for n in state if n.startswith(f'layer{group}.')})
    for group in range(1, 5)
  )
  selective = 'layer1.0.conv2.attn.fc_select.weight' in state
  first = shape_of(state, 'conv1.weight')
  if blocks == (4, 4, 4, 0) and not selective:
    width = _width(shape_of(state, 'layer1.0.conv1.weight'), 32)
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
  deep = shape_of(state, 'conv1.6.weight')
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
