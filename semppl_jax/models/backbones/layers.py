"""Layers of all backbones, under one padding convention.

`'torch'` pads a kernel of size k by (k - 1) / 2 on all sides, so that exports
to PyTorch are exact. `'same'` is XLA's rule, which DeepMind uses: for a stride
of two on an even size it pads one pixel less on the top and left.

Convolutions with an output of at most 2x2 pixels are matrix products: XLA:CPU
takes up to 130 times as long for a 3x3 convolution of 2x2 pixels as for the
product of its patches (`benchmarks/small_maps.py`). A ResNet ends in such maps
for 64 px images, and for 32 px ones where the stem reduces them.
"""

from collections.abc import Callable, Iterator
import contextlib
import contextvars
import dataclasses
import functools
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
import numpy as np

from semppl_jax.models.backbones.batch_norm import BatchNorm

# Feature maps before and after a layer.
Maps = Float[Array, 'N H W C']
NewMaps = Float[Array, 'N h w c']
Padding = str | tuple[tuple[int, int], tuple[int, int]]
Images = Float[Array, 'N H W 3']
Features = Float[Array, 'N F']
# (x, is_training, groups) -> output
Layer = Callable[[Maps, bool, int], NewMaps]

_FOR_ANOTHER_ENGINE = contextvars.ContextVar(
  'for_another_engine', default=False
)

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
  before_after = _before_after(x, kernel, stride, padding)
  sides = _sides(x, kernel, stride, before_after)
  if kernel > 1 and max(sides) <= small:
    return _product(x, weights, stride, before_after, sides)
  return jax.lax.conv_general_dilated(
    x,
    jnp.asarray(weights),
    (stride, stride),
    before_after,
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
  )


@dataclasses.dataclass
class DepthwiseConv2D(hk.Module):
  """Square convolution of each channel with a kernel of its own.

  Parameter `w` is [k, k, 1, C], as of `hk.DepthwiseConv2D`. `padding` is
  `'SAME'` or pixels (before, after).
  """

  kernel: int
  stride: int
  padding: Padding
  name: str

  def __call__(self, x: Maps) -> NewMaps:
    """Maps [N, H, W, C] to [N, H / stride, W / stride, C]."""
    shape = (self.kernel, self.kernel, 1, x.shape[-1])
    init = hk.initializers.TruncatedNormal(1 / self.kernel)
    weights = hk.get_parameter('w', shape, x.dtype, init)
    if _FOR_ANOTHER_ENGINE.get():
      return convolve_depthwise(x, weights, self.stride, self.padding)
    taps, plain = (
      functools.partial(convolve, stride=self.stride, padding=self.padding)
      for convolve in (convolve_by_taps, convolve_depthwise)
    )
    return jax.lax.platform_dependent(x, weights, cpu=taps, default=plain)


@contextlib.contextmanager
def for_another_engine() -> Iterator[None]:
  """Traces depthwise convolutions as such, for engines with kernels for them.

  Without it the program has both formulations, of which XLA takes one.
  """
  token = _FOR_ANOTHER_ENGINE.set(True)
  try:
    yield
  finally:
    _FOR_ANOTHER_ENGINE.reset(token)


def convolve_depthwise(
  x: Maps,
  weights: Float[Array | np.ndarray, 'k k 1 C'],
  stride: int,
  padding: Padding,
) -> Float[Array, 'N h w C']:
  """Convolves each channel of [N, H, W, C] with its kernel [k, k, 1, C]."""
  return jax.lax.conv_general_dilated(
    x,
    jnp.asarray(weights),
    (stride, stride),
    padding,
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    feature_group_count=x.shape[-1],
  )


def convolve_by_taps(
  x: Maps,
  weights: Float[Array | np.ndarray, 'k k 1 C'],
  stride: int,
  padding: Padding,
) -> Float[Array, 'N h w C']:
  """Does what `convolve_depthwise` does, as a sum of k * k shifted products.

  XLA:CPU has no kernel for convolutions of single channels and takes tens
  of times as long for them as for this sum (`benchmarks/depthwise.py`). For a
  kernel of 3 it is fastest without a padded copy of the input: each product
  that lacks pixels at the border is padded instead.
  """
  kernel = weights.shape[0]
  before_after = _before_after(x, kernel, stride, padding)
  sides = _sides(x, kernel, stride, before_after)
  if kernel > 3:
    x = jnp.pad(x, ((0, 0), *before_after, (0, 0)))
    before_after = ((0, 0), (0, 0))
  total = jnp.zeros((), x.dtype)
  for i in range(kernel):
    rows = _window(x.shape[1], sides[0], i - before_after[0][0], stride)
    for j in range(kernel):
      columns = _window(x.shape[2], sides[1], j - before_after[1][0], stride)
      weight = weights[i, j].reshape(1, 1, 1, -1)
      tap = x[:, rows.inside, columns.inside] * weight
      total = total + jnp.pad(
        tap, ((0, 0), rows.missing, columns.missing, (0, 0))
      )
  return total


class _Window(NamedTuple):
  """Pixels below one weight along one axis.

  Attributes:
    inside: those that the input has.
    missing: numbers of outputs before and after, which lie on the padding.
  """

  inside: slice
  missing: tuple[int, int]


def _window(size: int, outputs: int, offset: int, stride: int) -> _Window:
  """Returns the pixels `offset + stride * n` for the outputs n."""
  first = max(0, -(offset // stride))
  last = min(outputs - 1, (size - 1 - offset) // stride)
  # A weight that lies on the padding alone has no pixels.
  count = max(last - first + 1, 0)
  start = offset + stride * first if count else 0
  end = start + stride * (count - 1) + 1 if count else 0
  first = first if count else 0
  return _Window(slice(start, end, stride), (first, outputs - count - first))


def _product(x, weights, stride, padding, sides) -> Array:
  """Computes the convolution as one product of patches [N, H', W', k k C]."""
  kernel, _, _, channels = weights.shape
  padded = jnp.pad(x, ((0, 0), *padding, (0, 0)))
  patches = jnp.concatenate(_taps(padded, kernel, stride, sides), axis=-1)
  # Without reshaping to rows [N H' W']: N is symbolic in exports.
  return jnp.tensordot(patches, weights.reshape(-1, channels), axes=1)


def _before_after(x, kernel, stride, padding):
  """Returns the pixels of padding before and after each side."""
  if not isinstance(padding, str):
    return padding
  return jax.lax.padtype_to_pads(
    x.shape[1:3], (kernel, kernel), (stride, stride), padding
  )


def _sides(x, kernel, stride, before_after) -> list[int]:
  """Returns height and width of the output."""
  return [
    (size + sum(pad) - kernel) // stride + 1
    for size, pad in zip(x.shape[1:3], before_after, strict=True)
  ]


def _taps(padded, kernel, stride, sides) -> list[Array]:
  """Returns the pixels [N, h, w, C] below each weight of a kernel, by rows."""
  height, width = (stride * (side - 1) + 1 for side in sides)
  return [
    padded[:, i : i + height : stride, j : j + width : stride]
    for i in range(kernel)
    for j in range(kernel)
  ]


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

  def depthwise_norm(self, kernel: int, stride: int = 1, *, name: str) -> Layer:
    """Builds a depthwise convolution and its norm; `'{}_0'` names both."""
    conv = DepthwiseConv2D(
      kernel, stride, self._pad(kernel), name.format('conv')
    )
    norm = self.norm(name.format('batchnorm'))
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
