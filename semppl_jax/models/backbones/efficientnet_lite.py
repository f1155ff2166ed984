"""EfficientNet-Lite: inverted residuals with ReLU6, without squeeze-excite.

EfficientNet (Tan and Le, arXiv 1905.11946) as its authors changed it for
devices: stem and head keep their width at every size. With `padding='same'`
and a batch norm of epsilon 1e-3, files of TensorFlow and timm load unchanged.
"""

import math
from typing import NamedTuple

import haiku as hk
import jax

from semppl_jax.models.backbones.layers import (
  Features,
  global_mean,
  Images,
  Layers,
  Maps,
  NewMaps,
)

STEM_CHANNELS = 32
HEAD_CHANNELS = 1280


class Stage(NamedTuple):
  """Blocks of one resolution; the first has the stride.

  Attributes:
    blocks: their number.
    kernel: side of the depthwise convolution.
    stride: that of the first block.
    expansion: hidden channels per input channel.
    channels: output channels.
  """

  blocks: int
  kernel: int
  stride: int
  expansion: int
  channels: int


_STAGES = (
  Stage(1, 3, 1, 1, 16),
  Stage(2, 3, 2, 6, 24),
  Stage(2, 5, 2, 6, 40),
  Stage(3, 3, 2, 6, 80),
  Stage(3, 5, 1, 6, 112),
  Stage(4, 5, 2, 6, 192),
  Stage(1, 3, 1, 6, 320),
)
# By size: multipliers of width and depth, and pixels of the image.
SIZES = {
  0: (1.0, 1.0, 224),
  1: (1.0, 1.1, 240),
  2: (1.1, 1.2, 260),
  3: (1.2, 1.4, 280),
  4: (1.4, 1.8, 300),
}


def stages(size: int) -> list[Stage]:
  """Returns the stages of EfficientNet-Lite`size`."""
  width, depth, _ = SIZES[size]
  last = len(_STAGES) - 1
  return [
    stage._replace(
      channels=_round_channels(stage.channels * width),
      blocks=(
        stage.blocks if i in (0, last) else math.ceil(stage.blocks * depth)
      ),
    )
    for i, stage in enumerate(_STAGES)
  ]


def _round_channels(channels: float, unit: int = 8) -> int:
  """Rounds to a multiple of `unit`, by at most 10 % downwards."""
  rounded = max(unit, int(channels + unit / 2) // unit * unit)
  return rounded + unit if rounded < 0.9 * channels else rounded


class InvertedResidual(hk.Module):
  """Expansion, depthwise convolution and linear projection."""

  def __init__(
    self,
    layers: Layers,
    stage: Stage,
    stride: int,
    inputs: int,
    name: str | None = None,
  ):
    super().__init__(name=name)
    hidden = inputs * stage.expansion
    self.expand = None
    if stage.expansion > 1:
      self.expand = layers.conv_norm(hidden, 1, name='expand_{}')
    self.depthwise = layers.depthwise_norm(
      stage.kernel, stride, name='depthwise_{}'
    )
    self.project = layers.conv_norm(stage.channels, 1, name='project_{}')
    self.residual = stride == 1 and inputs == stage.channels

  def __call__(self, x: Maps, is_training: bool, groups: int) -> NewMaps:
    """Maps [N, H, W, C] to [N, H / stride, W / stride, channels]."""
    y = x
    if self.expand:
      y = jax.nn.relu6(self.expand(y, is_training, groups))
    y = jax.nn.relu6(self.depthwise(y, is_training, groups))
    y = self.project(y, is_training, groups)
    return x + y if self.residual else y


class EfficientNetLite(hk.Module):
  """EfficientNet-Lite without its classifier; F is 1,280."""

  def __init__(self, size: int, layers: Layers, name: str):
    super().__init__(name=name)
    self.stem = layers.conv_norm(STEM_CHANNELS, 3, 2, name='stem_{}')
    self.blocks = []
    inputs = STEM_CHANNELS
    for stage in stages(size):
      for i in range(stage.blocks):
        block = InvertedResidual(
          layers,
          stage,
          stage.stride if i == 0 else 1,
          inputs,
          f'block_{len(self.blocks)}',
        )
        self.blocks.append(layers.block(block))
        inputs = stage.channels
    self.head = layers.conv_norm(HEAD_CHANNELS, 1, name='head_{}')

  def __call__(self, x: Images, is_training: bool, views: int) -> Features:
    """Maps images [B * V, H, W, 3] to features [B * V, F], float32."""
    x = jax.nn.relu6(self.stem(x, is_training, views))
    for block in self.blocks:
      x = block(x, is_training, views)
    return global_mean(jax.nn.relu6(self.head(x, is_training, views)))
