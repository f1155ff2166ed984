"""ResNet v1 (He et al., arXiv 1512.03385), with widths, stems and paddings.

The stride of a bottleneck is on its 3x3 convolution, as in torchvision and
Haiku. Names follow the files that DeepMind released (BYOL, SemPPL): with
`padding='same'` and `stem='imagenet'` those load unchanged. Unlike in Haiku,
basic blocks too start with a last scale of zero (Goyal et al., arXiv
1706.02677, section 5.1).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
from jaxtyping import Array

from semppl_jax.models.backbones.layers import (
  Features,
  global_mean,
  Images,
  Layer,
  Layers,
  Maps,
  NewMaps,
  space_to_depth,
)

WIDTHS = (1, 2, 4)
STEMS = ('imagenet', 'cifar', 'space_to_depth')
TINY_STEM_CHANNELS = 16
TINY_CHANNELS = (4 * TINY_STEM_CHANNELS, 128)


class BlockKind(NamedTuple):
  """Parts of a type of residual block.

  Attributes:
    path: `(layers, channels, stride)` to the layers of the residual path, with
      a ReLU between each two.
    shortcut: `(layers, channels, stride)` to a projection shortcut.
  """

  path: Callable[[Layers, int, int], Sequence[Layer]]
  shortcut: Callable[[Layers, int, int], Layer]


class Layout(NamedTuple):
  """Layout of one network at width 1.

  Attributes:
    blocks: residual blocks in each group.
    channels: output channels of each group.
    kind: type of the blocks.
    first_projects: True if the first group starts with a projection, as the
      others always do.
  """

  blocks: tuple[int, ...]
  channels: tuple[int, ...]
  kind: BlockKind
  first_projects: bool


def _basic_path(layers: Layers, channels: int, stride: int) -> list[Layer]:
  return [
    layers.conv_norm(channels, 3, stride, name='{}_0'),
    layers.conv_norm(channels, 3, name='{}_1', scale_init=jnp.zeros),
  ]


def _bottleneck_path(layers: Layers, channels: int, stride: int) -> list[Layer]:
  return [
    layers.conv_norm(channels // 4, 1, name='{}_0'),
    layers.conv_norm(channels // 4, 3, stride, name='{}_1'),
    layers.conv_norm(channels, 1, name='{}_2', scale_init=jnp.zeros),
  ]


def _strided_shortcut(layers: Layers, channels: int, stride: int) -> Layer:
  return layers.conv_norm(channels, 1, stride, name='shortcut_{}')


BASIC = BlockKind(_basic_path, _strided_shortcut)
BOTTLENECK = BlockKind(_bottleneck_path, _strided_shortcut)

_BASIC_CHANNELS = (64, 128, 256, 512)
BOTTLENECK_CHANNELS = (256, 512, 1024, 2048)
BLOCKS = {
  18: (2, 2, 2, 2),
  34: (3, 4, 6, 3),
  50: (3, 4, 6, 3),
  101: (3, 4, 23, 3),
  152: (3, 8, 36, 3),
  200: (3, 24, 36, 3),
}


def layout(depth: int) -> Layout:
  """Returns the layout of the plain ResNet with `depth` layers."""
  if depth < 50:
    return Layout(BLOCKS[depth], _BASIC_CHANNELS, BASIC, first_projects=False)
  return Layout(
    BLOCKS[depth], BOTTLENECK_CHANNELS, BOTTLENECK, first_projects=True
  )


class Block(hk.Module):
  """Residual block; without `project` its shortcut is the identity."""

  def __init__(
    self,
    kind: BlockKind,
    layers: Layers,
    channels: int,
    stride: int,
    project: bool,
    name: str | None = None,
  ):
    super().__init__(name=name)
    self.shortcut = kind.shortcut(layers, channels, stride) if project else None
    self.path = kind.path(layers, channels, stride)

  def __call__(self, x: Maps, is_training: bool, groups: int) -> NewMaps:
    """Maps [N, H, W, C] to [N, H / stride, W / stride, channels]."""
    shortcut = self.shortcut(x, is_training, groups) if self.shortcut else x
    for layer in self.path[:-1]:
      x = jax.nn.relu(layer(x, is_training, groups))
    return jax.nn.relu(self.path[-1](x, is_training, groups) + shortcut)


class BlockGroup(hk.Module):
  """Blocks of one resolution; the first has `stride`."""

  def __init__(
    self,
    kind: BlockKind,
    layers: Layers,
    channels: int,
    stride: int,
    blocks: int,
    project: bool,
    name: str | None = None,
  ):
    super().__init__(name=name)
    first = Block(kind, layers, channels, stride, project, 'block_0')
    others = [
      Block(kind, layers, channels, 1, False, f'block_{i}')
      for i in range(1, blocks)
    ]
    self.blocks = [layers.block(block) for block in (first, *others)]

  def __call__(self, x: Maps, is_training: bool, groups: int) -> NewMaps:
    """Maps [N, H, W, C] to [N, H / stride, W / stride, channels]."""
    for block in self.blocks:
      x = block(x, is_training, groups)
    return x


def make_stem(kind: str, layers: Layers, channels: int) -> Layer:
  """Builds the layers before the first block, a kind of `STEMS`."""
  kernel, stride = (7, 2) if kind == 'imagenet' else (3, 1)
  first = layers.conv_norm(channels, kernel, stride, name='initial_{}')

  def stem(x, is_training, groups):
    if kind == 'space_to_depth':
      x = space_to_depth(x)
    x = jax.nn.relu(first(x, is_training, groups))
    return layers.max_pool(x) if kind == 'imagenet' else x

  return stem


class ResNet(hk.Module):
  """ResNet without its classifier; `stem` takes the number of channels."""

  def __init__(
    self,
    layout: Layout,
    layers: Layers,
    width: int,
    stem: Callable[[int], Layer],
    name: str,
  ):
    super().__init__(name=name)
    self.stem = stem(64 * width)
    self.groups = [
      BlockGroup(
        layout.kind,
        layers,
        channels * width,
        stride=1 if i == 0 else 2,
        blocks=blocks,
        project=layout.first_projects or i > 0,
        name=f'block_group_{i}',
      )
      for i, (blocks, channels) in enumerate(
        zip(layout.blocks, layout.channels, strict=True)
      )
    ]

  def __call__(self, x: Images, is_training: bool, views: int) -> Features:
    """Maps images [B * V, H, W, 3] to features [B * V, F], float32."""
    x = self.stem(x, is_training, views)
    for group in self.groups:
      x = group(x, is_training, views)
    return global_mean(x)


class TinyResNet(hk.Module):
  """ResNet for 32 px images that two CPU cores train in minutes.

  Stem at 16x16, a block at 8x8 and one at 4x4. XLA:CPU is slow at convolutions
  on three channels at full size, at wide ones at half size and at strided ones.
  So 2x2 pixels become channels before the stem and again after it; later the
  resolution is halved by an average.
  """

  def __init__(self, layers: Layers, width: int, name: str | None = None):
    super().__init__(name=name)
    self.stem = make_stem('space_to_depth', layers, TINY_STEM_CHANNELS * width)
    blocks = [
      Block(BASIC, layers, channels * width, 1, project, f'block_{i}')
      for i, (channels, project) in enumerate(
        zip(TINY_CHANNELS, (False, True), strict=True)
      )
    ]
    self.blocks = [layers.block(block) for block in blocks]

  def __call__(self, x: Images, is_training: bool, views: int) -> Features:
    """Maps images [B * V, H, W, 3] to features [B * V, F], float32."""
    first, second = self.blocks
    x = space_to_depth(_even(self.stem(x, is_training, views)))
    x = _halve(first(x, is_training, views))
    return global_mean(second(x, is_training, views))


def _even(x: Array) -> Array:
  """Drops an odd last row or column, which small views have."""
  height, width = (2 * (size // 2) for size in x.shape[1:3])
  return x[:, :height, :width]


def _halve(x: Array) -> Array:
  """Averages 2x2 pixels."""
  x = _even(x)
  n, height, width, channels = x.shape
  x = x.reshape(n, height // 2, 2, width // 2, 2, channels)
  return jnp.mean(x, axis=(2, 4))
