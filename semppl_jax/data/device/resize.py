"""Boxes of images resized to squares by two matrix products each.

A resize is separable: rows and columns are mixed by one matrix each, which is
what accelerators do best, and a flip reverses the rows of a matrix. Shrinking
widens the filter (`antialias`), at no further cost. Pixels outside a box are
ignored: their weights are dropped and the others normalized to a sum of 1. Both
are as in Pillow.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

Array = jax.Array
_NUDGE = 2**-10  # In levels of 255.


def _triangle(x: Array) -> Array:
  return jnp.maximum(1 - jnp.abs(x), 0.0)


def _cubic(x: Array) -> Array:
  """Computes Keys's kernel with a = -0.5 (Keys 1981, equation 15)."""
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
  """Returns matrices [..., size, pixels] that resize an interval to `size`.

  Args:
    start: first pixel of the interval, [...].
    length: pixels in it, at least 1, [...].
    flip: True to reverse the result, bool [...].
    pixels: pixels of the whole line.
    size: pixels of the result.
    kernel: interpolation, a key of `KERNELS`.
  """
  start, length = (
    x.astype(jnp.float32)[..., None, None] for x in (start, length)
  )
  shape = (1,) * (start.ndim - 2)
  out = jnp.arange(size, dtype=jnp.float32).reshape(*shape, size, 1)
  out = jnp.where(flip[..., None, None], size - 1 - out, out)
  pixel = jnp.arange(pixels, dtype=jnp.float32).reshape(*shape, 1, pixels) + 0.5
  scale = length / size
  center = start + (out + 0.5) * scale
  values = KERNELS[kernel]((pixel - center) / jnp.maximum(scale, 1.0))
  inside = (pixel > start) & (pixel < start + length)
  values = jnp.where(inside, values, 0.0)
  return values / jnp.sum(values, axis=-1, keepdims=True)


def crop(
  images: Array,
  boxes: Array,
  flips: Array,
  *,
  size: int,
  kernel: str,
  transposed: Array | None = None,
) -> Array:
  """Crops and resizes boxes of images, uint8 [B, V, size, size, channels].

  The products run at the device's default precision, whose error is below one
  level of 255.

  Args:
    images: uint8 [B, H, W, channels].
    boxes: top, left, height and width in pixels, [B, V, 4].
    flips: True to mirror left and right, bool [B, V].
    size: side of the result in pixels.
    kernel: interpolation, a key of `KERNELS`.
    transposed: True where rows of the array are columns of the image, bool [B];
      None if no image is transposed. Boxes, flips and result are those of the
      upright image.
  """
  chex.assert_rank([images, boxes, flips], [4, 3, 2])
  chex.assert_type(images, jnp.uint8)
  down, across = _matrices(images, boxes, flips, size, kernel, transposed)
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
  resized = jnp.clip(_round(jnp.stack(planes, axis=-1)), 0, 255)
  resized = resized.astype(jnp.uint8)
  if transposed is None:
    return resized
  swap = transposed[:, None, None, None, None]
  return jnp.where(swap, jnp.swapaxes(resized, 2, 3), resized)


def _round(x: Array) -> Array:
  """Rounds half up, robustly.

  Many resized values lie halfway between two levels but for the order of a sum,
  which depends on the number of devices: the nudge exceeds any such error.
  """
  return jnp.floor(x + (0.5 + _NUDGE))


def crop_mask(
  masks: Array,
  boxes: Array,
  flips: Array,
  *,
  size: int,
  transposed: Array | None = None,
) -> Array:
  """Crops masks like images: 1 where most of the box's pixels are 1.

  Args:
    masks: uint8 [B, H, W], 0 or 1.
    boxes: see `crop`.
    flips: see `crop`.
    size: side of the result in pixels.
    transposed: see `crop`.

  Returns:
    uint8 [B, V, size, size], 0 or 1.
  """
  levels = crop(
    (255 * masks)[..., None],
    boxes,
    flips,
    size=size,
    kernel='bilinear',
    transposed=transposed,
  )
  return (levels[..., 0] >= 128).astype(jnp.uint8)


def _matrices(
  images: Array,
  boxes: Array,
  flips: Array,
  size: int,
  kernel: str,
  transposed: Array | None,
) -> tuple[Array, Array]:
  """Returns weights for rows and columns of the array [B, V, size, pixels]."""
  top, left, height, width = jnp.moveaxis(boxes, -1, 0)
  down = top, height, jnp.zeros_like(flips)
  across = left, width, flips
  if transposed is not None:
    swap = transposed[:, None]
    down, across = (
      [jnp.where(swap, b, a) for a, b in zip(down, across, strict=True)],
      [jnp.where(swap, a, b) for a, b in zip(down, across, strict=True)],
    )
  return (
    weights(*down, pixels=images.shape[1], size=size, kernel=kernel),
    weights(*across, pixels=images.shape[2], size=size, kernel=kernel),
  )
