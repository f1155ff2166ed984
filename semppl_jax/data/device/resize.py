"""Boxes of images scaled to squares, as two matrix products for each.

A resize is separable: rows and columns are mixed by a matrix each, which is
what accelerators do best, and a flip is the matrix with its rows reversed.
Shrinking widens the filter, as Pillow and torchvision do (`antialias`), at no
further cost. A box knows nothing of what is around it: weights beyond its edges
are left out and the others brought to a sum of 1, again as Pillow's.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

Array = jax.Array
_NUDGE = 2**-10  # Of a level.


def _triangle(x: Array) -> Array:
  return jnp.maximum(1 - jnp.abs(x), 0.0)


def _cubic(x: Array) -> Array:
  """Keys's kernel with a = -0.5 (Keys 1981, equation 15)."""
  x = jnp.abs(x)
  near = (1.5 * x - 2.5) * x * x + 1
  far = ((-0.5 * x + 2.5) * x - 4) * x + 2
  return jnp.where(x < 1, near, jnp.where(x < 2, far, 0.0))


KERNELS: dict[str, Callable[[Array], Array]] = {
  'bicubic': _cubic,
  'bilinear': _triangle,
}


def weights(
  start: Array,
  length: Array,
  flip: Array,
  *,
  pixels: int,
  size: int,
  kernel: str,
) -> Array:
  """Matrices [..., size, pixels] that scale a stretch of pixels to `size`.

  Args:
    start: first pixel of the stretch, [...].
    length: pixels in it, at least 1, [...].
    flip: whether to reverse the result, bool [...].
    pixels: pixels of the line that the stretch is a part of.
    size: pixels of the result.
    kernel: of `KERNELS`.
  """
  start, length = (
    x.astype(jnp.float32)[..., None, None] for x in (start, length)
  )
  shape = (1,) * (start.ndim - 2)
  out = jnp.arange(size, dtype=jnp.float32).reshape(*shape, size, 1)
  out = jnp.where(flip[..., None, None], size - 1 - out, out)
  pixel = jnp.arange(pixels, dtype=jnp.float32).reshape(*shape, 1, pixels) + 0.5
  scale = length / size
  centre = start + (out + 0.5) * scale
  found = KERNELS[kernel]((pixel - centre) / jnp.maximum(scale, 1.0))
  inside = (pixel > start) & (pixel < start + length)
  found = jnp.where(inside, found, 0.0)
  return found / jnp.sum(found, axis=-1, keepdims=True)


def crop(
  images: Array,
  boxes: Array,
  flips: Array,
  *,
  size: int,
  kernel: str,
  turned: Array | None = None,
) -> Array:
  """Cuts and scales boxes of images, uint8 [B, V, size, size, channels].

  The products run at the device's default precision, whose error is below one
  level of 255.

  Args:
    images: uint8 [B, H, W, channels].
    boxes: top, left, height and width in pixels, [B, V, 4].
    flips: whether to mirror left and right, bool [B, V].
    size: side of the result in pixels.
    kernel: of `KERNELS`.
    turned: whether rows of the array are columns of the image, which boxes,
      flips and the result are of; bool [B], or None: of no image.
  """
  chex.assert_rank([images, boxes, flips], [4, 3, 2])
  chex.assert_type(images, jnp.uint8)
  down, across = _matrices(images, boxes, flips, size, kernel, turned)
  # By channel: a last axis of 3 would fill 3 of an accelerator's 128 lanes.
  planes = [
    jnp.einsum(
      'bvij,bjk,bvlk->bvil',
      down,
      images[..., channel].astype(jnp.float32),
      across,
    )
    for channel in range(images.shape[-1])
  ]
  scaled = jnp.clip(_level(jnp.stack(planes, axis=-1)), 0, 255)
  scaled = scaled.astype(jnp.uint8)
  if turned is None:
    return scaled
  upright = turned[:, None, None, None, None]
  return jnp.where(upright, jnp.swapaxes(scaled, 2, 3), scaled)


def _level(x: Array) -> Array:
  """Rounds to whole levels, of two that are as near to the higher one.

  Scaled levels often lie in the middle of two but for the order of a sum, which
  changes with the number of devices: the nudge is larger than any such error.
  """
  return jnp.floor(x + (0.5 + _NUDGE))


def crop_mask(
  masks: Array,
  boxes: Array,
  flips: Array,
  *,
  size: int,
  turned: Array | None = None,
) -> Array:
  """Cuts masks like images: 1 where most of what is shown is 1.

  Args:
    masks: uint8 [B, H, W], 0 or 1.
    boxes: as of `crop`.
    flips: as of `crop`.
    size: side of the result in pixels.
    turned: as of `crop`.

  Returns:
    uint8 [B, V, size, size], 0 or 1.
  """
  levels = crop(
    (255 * masks)[..., None],
    boxes,
    flips,
    size=size,
    kernel='bilinear',
    turned=turned,
  )
  return (levels[..., 0] >= 128).astype(jnp.uint8)


def _matrices(
  images, boxes, flips, size, kernel, turned
) -> tuple[Array, Array]:
  """Weights down and across the array, each [B, V, size, pixels]."""
  top, left, height, width = jnp.moveaxis(boxes, -1, 0)
  down = top, height, jnp.zeros_like(flips)
  across = left, width, flips
  if turned is not None:
    pairs = [
      tuple(jnp.where(turned[:, None], x, y) for x, y in ((b, a), (a, b)))
      for a, b in zip(down, across, strict=True)
    ]
    down, across = zip(*pairs, strict=True)
  return (
    weights(*down, pixels=images.shape[1], size=size, kernel=kernel),
    weights(*across, pixels=images.shape[2], size=size, kernel=kernel),
  )
