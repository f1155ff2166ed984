"""A ResNet for 32 px images that two CPU cores train in minutes.

XLA:CPU is slow at convolutions on three channels at full size and at strided
ones. So 2x2 pixels become channels first, and resolution falls by averages.
"""

import itertools

import haiku as hk
import jax
import jax.numpy as jnp

from semppl_jax.backbones import resnet
from semppl_jax.backbones.layers import global_mean, Layers

Array = jax.Array

STEM_CHANNELS = 64
CHANNELS = (64, 128)


class TinyResNet(hk.Module):
  """A stem at 16x16, a block at 8x8 and one at 4x4."""

  def __init__(self, layers: Layers, width: int, name: str | None = None):
    """Makes the network."""
    super().__init__(name=name)
    self.stem = resnet.make_stem(
      'space_to_depth', layers, STEM_CHANNELS * width
    )
    self.blocks = [
      resnet.Block(
        resnet.BASIC,
        layers,
        channels * width,
        stride=1,
        project=channels != before,
        name=f'block_{i}',
      )
      for i, (before, channels) in enumerate(
        itertools.pairwise((STEM_CHANNELS, *CHANNELS))
      )
    ]

  def __call__(self, x: Array, is_training: bool, views: int) -> Array:
    """Maps images [B * V, H, W, 3] to features [B * V, F], float32."""
    x = self.stem(x, is_training, views)
    for block in self.blocks:
      x = block(_halve(x), is_training, views)
    return global_mean(x)


def _halve(x: Array) -> Array:
  """Averages 2x2 pixels, leaving out an odd last row or column."""
  n, height, width, channels = x.shape
  height, width = height // 2, width // 2
  x = x[:, : 2 * height, : 2 * width]
  x = x.reshape(n, height, 2, width, 2, channels)
  return jnp.mean(x, axis=(2, 4))
