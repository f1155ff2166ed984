"""ResNet for 32 px images that two CPU cores train in minutes.

XLA:CPU is slow at convolutions on three channels at full size, at wide ones at
half size and at strided ones. So 2x2 pixels become channels before the stem and
again after it; later the resolution is halved by an average.
"""

import haiku as hk
import jax.numpy as jnp
from jaxtyping import Array

from semppl_jax.models.backbones import resnet
from semppl_jax.models.backbones.layers import (
  Features,
  global_mean,
  Images,
  Layers,
  space_to_depth,
)

STEM_CHANNELS = 16
CHANNELS = (4 * STEM_CHANNELS, 128)


class TinyResNet(hk.Module):
  """Stem at 16x16, a block at 8x8 and one at 4x4, for 32 px images."""

  def __init__(self, layers: Layers, width: int, name: str | None = None):
    super().__init__(name=name)
    self.stem = resnet.make_stem(
      'space_to_depth', layers, STEM_CHANNELS * width
    )
    blocks = [
      resnet.Block(
        resnet.BASIC, layers, channels * width, 1, project, f'block_{i}'
      )
      for i, (channels, project) in enumerate(
        zip(CHANNELS, (False, True), strict=True)
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
