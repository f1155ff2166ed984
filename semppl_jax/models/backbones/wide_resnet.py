"""WideResNet-28-2 for 32 px images, as PAWS trains it (arXiv 2104.13963).

Pre-activation blocks (Zagoruyko and Komodakis, arXiv 1605.07146). As in PAWS,
whose files load into it, convolutions have biases, the stride is on the second
convolution of a block, and the shortcut reads the block's raw input. There is
no dropout; PAWS sets it to zero.
"""

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

BLOCKS = 4  # (28 - 4) / 6
CHANNELS = (32, 64, 128)
STEM_CHANNELS = 16


class WideBlock(hk.Module):
  """Norm, ReLU, convolution, twice; the shortcut is the identity or a layer."""

  def __init__(
    self,
    layers: Layers,
    channels: int,
    stride: int,
    project: bool,
    name: str | None = None,
  ):
    super().__init__(name=name)
    self.norm_0 = layers.norm('batchnorm_0')
    self.conv_0 = layers.conv(channels, 3, name='conv_0', with_bias=True)
    self.norm_1 = layers.norm('batchnorm_1')
    self.conv_1 = layers.conv(
      channels, 3, stride, name='conv_1', with_bias=True
    )
    self.shortcut = None
    if project:
      self.shortcut = layers.conv(
        channels, 1, stride, name='shortcut_conv', with_bias=True
      )

  def __call__(self, x: Maps, is_training: bool, groups: int) -> NewMaps:
    """Maps [N, H, W, C] to [N, H / stride, W / stride, channels]."""
    y = self.conv_0(jax.nn.relu(self.norm_0(x, is_training, groups)))
    y = self.conv_1(jax.nn.relu(self.norm_1(y, is_training, groups)))
    return y + (self.shortcut(x) if self.shortcut else x)


class WideResNet(hk.Module):
  """WideResNet-28-(2 x width) without its classifier."""

  def __init__(self, layers: Layers, width: int, name: str | None = None):
    super().__init__(name=name)
    self.initial_conv = layers.conv(
      STEM_CHANNELS, 3, name='initial_conv', with_bias=True
    )
    blocks = [
      WideBlock(
        layers,
        channels * width,
        stride=2 if group > 0 and i == 0 else 1,
        project=i == 0,
        name=f'block_group_{group}_block_{i}',
      )
      for group, channels in enumerate(CHANNELS)
      for i in range(BLOCKS)
    ]
    self.blocks = [layers.block(block) for block in blocks]
    self.final_norm = layers.norm('final_batchnorm')

  def __call__(self, x: Images, is_training: bool, views: int) -> Features:
    """Maps images [B * V, H, W, 3] to features [B * V, F], float32."""
    x = self.initial_conv(x)
    for block in self.blocks:
      x = block(x, is_training, views)
    return global_mean(jax.nn.relu(self.final_norm(x, is_training, views)))
