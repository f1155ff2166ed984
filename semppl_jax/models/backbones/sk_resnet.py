"""ResNet with selective kernels, as in SimCLRv2 (arXiv 2006.10029).

Each 3x3 convolution of a bottleneck becomes two of the same size, mixed per
image and channel by attention over both (Li et al., arXiv 1903.06586; here
without the dilated branch, as SimCLRv2 does). Stem and shortcuts are those of
ResNet-D (He et al., arXiv 1812.01187): three 3x3 convolutions, and average
pooling before a projection.
"""

import haiku as hk
import jax
import jax.numpy as jnp

from semppl_jax.models.backbones import resnet
from semppl_jax.models.backbones.layers import Layer, Layers, Maps, NewMaps

DEPTHS = (50, 101, 152, 200)
# Size of the attention's hidden layer: per channel, and its minimum.
RATIO = 0.0625
MIN_HIDDEN = 32


class SelectiveKernel(hk.Module):
  """Two 3x3 convolutions of `channels` outputs, mixed by attention."""

  def __init__(
    self, layers: Layers, channels: int, stride: int, name: str | None = None
  ):
    super().__init__(name=name)
    hidden = max(int(channels * RATIO), MIN_HIDDEN)
    # Both streams in one convolution: one large one is faster than two.
    self.streams = layers.conv_norm(2 * channels, 3, stride, name='streams_{}')
    self.squeeze = layers.conv_norm(hidden, 1, name='squeeze_{}')
    self.expand = layers.conv(2 * channels, 1, name='expand_conv')

  def __call__(self, x: Maps, is_training: bool, groups: int) -> NewMaps:
    """Maps [N, H, W, C] to [N, H / stride, W / stride, channels]."""
    x = jax.nn.relu(self.streams(x, is_training, groups))
    first, second = jnp.split(x, 2, axis=-1)
    pooled = jnp.mean(
      (first + second).astype(jnp.float32), axis=(1, 2), keepdims=True
    ).astype(x.dtype)
    hidden = jax.nn.relu(self.squeeze(pooled, is_training, groups))
    a, b = jnp.split(self.expand(hidden).astype(jnp.float32), 2, axis=-1)
    # The softmax over two streams is a sigmoid of their difference.
    weight = jax.nn.sigmoid(a - b).astype(x.dtype)
    return first * weight + second * (1 - weight)


def _path(layers: Layers, channels: int, stride: int) -> list[Layer]:
  return [
    layers.conv_norm(channels // 4, 1, name='{}_0'),
    SelectiveKernel(layers, channels // 4, stride, 'selective_kernel'),
    layers.conv_norm(channels, 1, name='{}_2', scale_init=jnp.zeros),
  ]


def _pooled_shortcut(layers: Layers, channels: int, stride: int) -> Layer:
  project = layers.conv_norm(channels, 1, name='shortcut_{}')

  def shortcut(x, is_training, groups):
    # SAME pads at the bottom and right, and the mean excludes the padding;
    # SimCLRv2 pools at stride one too.
    x = hk.avg_pool(x, (1, 2, 2, 1), (1, stride, stride, 1), 'SAME')
    return project(x, is_training, groups)

  return shortcut


SELECTIVE = resnet.BlockKind(_path, _pooled_shortcut)


def layout(depth: int) -> resnet.Layout:
  """Returns the layout of the selective-kernel ResNet of `depth` layers."""
  return resnet.Layout(
    resnet.BLOCKS[depth],
    resnet.BOTTLENECK_CHANNELS,
    SELECTIVE,
    first_projects=True,
  )


def make_stem(kind: str, layers: Layers, channels: int) -> Layer:
  """Builds ResNet-D's stem for `'imagenet'`, else the plain one."""
  if kind != 'imagenet':
    return resnet.make_stem(kind, layers, channels)
  convs = [
    layers.conv_norm(channels // 2, 3, 2, name='initial_{}_0'),
    layers.conv_norm(channels // 2, 3, name='initial_{}_1'),
    layers.conv_norm(channels, 3, name='initial_{}_2'),
  ]

  def stem(x, is_training, groups):
    for conv in convs:
      x = jax.nn.relu(conv(x, is_training, groups))
    return layers.max_pool(x)

  return stem
