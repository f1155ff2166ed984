"""Layers of all backbones, under one padding convention.

`'torch'` pads a kernel of size k by (k - 1) / 2 on all sides, so that exports
to PyTorch are exact. `'same'` is XLA's rule, which DeepMind uses: for a stride
of two on an even size it pads one pixel less on the top and left.
"""

from collections.abc import Callable
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
import numpy as np

from semppl_jax.models.backbones.batch_norm import BatchNorm
from semppl_jax.models.backbones.convolution import (
  Conv2D,
  Maps,
  NewMaps,
  Padding,
)

Images = Float[Array, 'N H W 3']
Features = Float[Array, 'N F']
# (x, is_training, groups) -> output
Layer = Callable[[Maps, bool, int], NewMaps]


class Layers(NamedTuple):
  """Factory of the layers of one backbone.

  Attributes:
    padding: `'torch'` or `'same'`.
    bn_decay: decay of the batch-norm averages.
    bn_eps: added to the variance before the root.
    remat: see `backbones.REMAT`.
  """

  padding: str
  bn_decay: float
  bn_eps: float
  remat: str = 'none'

  def block(self, block: Layer) -> Layer:
    """Recomputes a block in the backward pass if `remat` is `'blocks'`."""
    if self.remat != 'blocks':
      return block
    # The closure keeps is_training and groups static.
    return lambda x, is_training, groups: hk.remat(
      lambda x: block(x, is_training, groups)
    )(x)

  def conv(
    self,
    channels: int,
    kernel: int,
    stride: int = 1,
    *,
    name: str,
    with_bias: bool = False,
  ) -> Conv2D:
    """Builds a square convolution."""
    return Conv2D(channels, kernel, stride, self._pad(kernel), with_bias, name)

  def norm(
    self, name: str, scale_init: hk.initializers.Initializer = jnp.ones
  ) -> BatchNorm:
    """Builds a batch norm."""
    return BatchNorm(self.bn_decay, self.bn_eps, scale_init, name)

  def conv_norm(
    self,
    channels: int,
    kernel: int,
    stride: int = 1,
    *,
    name: str,
    scale_init: hk.initializers.Initializer = jnp.ones,
  ) -> Layer:
    """Builds a convolution and its norm; `'{}_0'` names both."""
    conv = self.conv(channels, kernel, stride, name=name.format('conv'))
    norm = self.norm(name.format('batchnorm'), scale_init)
    return lambda x, is_training, groups: norm(conv(x), is_training, groups)

  def max_pool(self, x: Maps) -> NewMaps:
    """Pools 3x3 pixels by their maximum, with stride 2."""
    padding = self._pad(3)
    if not isinstance(padding, str):
      padding = ((0, 0), *padding, (0, 0))
    return jax.lax.reduce_window(
      x,
      np.array(-np.inf, x.dtype),
      jax.lax.max,
      (1, 3, 3, 1),
      (1, 2, 2, 1),
      padding,
    )

  def _pad(self, kernel: int) -> Padding:
    if self.padding == 'same':
      return 'SAME'
    pixels = (kernel - 1) // 2
    return ((pixels, pixels), (pixels, pixels))


def space_to_depth(x: Maps) -> NewMaps:
  """Moves 2x2 pixels to channels: [N, H, W, C] to [N, H / 2, W / 2, 4 C].

  Raises:
    ValueError: height or width is odd.
  """
  n, height, width, channels = x.shape
  if height % 2 or width % 2:
    raise ValueError(
      "network.stem='space_to_depth' needs views of even height and width, "
      f'got {height} x {width} pixels.'
    )
  x = x.reshape(n, height // 2, 2, width // 2, 2, channels)
  x = x.transpose(0, 1, 3, 2, 4, 5)
  return x.reshape(n, height // 2, width // 2, 4 * channels)


def global_mean(x: Maps) -> Features:
  """Averages the pixels in float32: [N, H, W, C] to [N, C]."""
  return jnp.mean(x.astype(jnp.float32), axis=(1, 2))
