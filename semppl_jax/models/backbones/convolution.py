"""Convolutions; those with an output of at most 2x2 are matrix products.

XLA:CPU takes up to 130 times as long for a 3x3 convolution of 2x2 pixels as for
the product of its patches (`benchmarks/small_maps.py`). A ResNet ends in such
maps for 64 px images, and for 32 px ones where the stem reduces them.
"""

import dataclasses

import haiku as hk
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
import numpy as np

# Feature maps before and after a layer.
Maps = Float[Array, 'N H W C']
NewMaps = Float[Array, 'N h w c']
Padding = str | tuple[tuple[int, int], tuple[int, int]]

# Largest side of an output that is computed as a matrix product.
_SMALL = 2


@dataclasses.dataclass
class Conv2D(hk.Module):
  """Square convolution with the names, weights and results of `hk.Conv2D`.

  `padding` is `'SAME'` or pixels (before, after).
  """

  channels: int
  kernel: int
  stride: int
  padding: Padding
  with_bias: bool
  name: str

  def __call__(self, x: Maps) -> NewMaps:
    """Maps [N, H, W, C] to [N, H / stride, W / stride, channels]."""
    shape = (self.kernel, self.kernel, x.shape[-1], self.channels)
    deviation = 1 / np.sqrt(np.prod(shape[:-1]))
    init = hk.initializers.TruncatedNormal(deviation)
    weights = hk.get_parameter('w', shape, x.dtype, init)
    out = convolve(x, weights, self.stride, self.padding)
    if not self.with_bias:
      return out
    bias = hk.get_parameter('b', (self.channels,), x.dtype, jnp.zeros)
    return out + bias.reshape(1, 1, 1, -1)


def convolve(
  x: Maps,
  weights: Float[Array | np.ndarray, 'k k C channels'],
  stride: int,
  padding: Padding,
  small: int = _SMALL,
) -> Float[Array, 'N h w channels']:
  """Convolves [N, H, W, C] with [k, k, C, channels].

  Args:
    x: images or feature maps.
    weights: the kernel.
    stride: pixels from one window to the next.
    padding: `'SAME'` or pixels (before, after).
    small: largest side of an output that is computed as a matrix product.
  """
  kernel = weights.shape[0]
  if isinstance(padding, str):
    before_after = jax.lax.padtype_to_pads(
      x.shape[1:3], (kernel, kernel), (stride, stride), padding
    )
  else:
    before_after = padding
  sides = [
    (size + sum(pad) - kernel) // stride + 1
    for size, pad in zip(x.shape[1:3], before_after, strict=True)
  ]
  if kernel > 1 and max(sides) <= small:
    return _product(x, weights, stride, before_after, sides)
  return jax.lax.conv_general_dilated(
    x,
    jnp.asarray(weights),
    (stride, stride),
    before_after,
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
  )


def _product(x, weights, stride, padding, sides) -> Array:
  """Computes the convolution as one product of patches [N, H', W', k k C]."""
  kernel, _, _, channels = weights.shape
  height, width = (stride * (side - 1) + 1 for side in sides)
  padded = jnp.pad(x, ((0, 0), *padding, (0, 0)))
  taps = [
    padded[:, i : i + height : stride, j : j + width : stride]
    for i in range(kernel)
    for j in range(kernel)
  ]
  patches = jnp.concatenate(taps, axis=-1)
  # Without reshaping to rows [N H' W']: N is symbolic in exports.
  return jnp.tensordot(patches, weights.reshape(-1, channels), axes=1)
