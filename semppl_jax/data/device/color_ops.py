"""Color operations on a batch of images, with one strength per image.

An image is three planes [..., H, W], red, green and blue in [0, 1], since a
last axis of 3 would fill 3 of an accelerator's 128 lanes. Strengths are arrays
[...]. Only `equalize` rounds to 8 bits.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

Array = jax.Array
Planes = tuple[Array, Array, Array]

_LEVELS = 256
_DIGIT = 16


def to_planes(images: Array) -> Planes:
  """Converts uint8 [..., H, W, 3] to planes [..., H, W] in [0, 1]."""
  red, green, blue = (
    images[..., channel].astype(jnp.float32) / 255 for channel in range(3)
  )
  return red, green, blue


def normalize(
  planes: Planes, mean: Sequence[float], std: Sequence[float]
) -> Array:
  """Returns (planes - mean) / std per channel, stacked to [..., H, W, 3]."""
  scaled = [
    (plane - m) / s for plane, m, s in zip(planes, mean, std, strict=True)
  ]
  return jnp.stack(scaled, axis=-1)


def where(chosen: Array, planes: Planes, otherwise: Planes) -> Planes:
  """Selects `planes` for images where `chosen` [...], else `otherwise`."""
  return _map(
    lambda a, b: jnp.where(_per_pixel(chosen), a, b), planes, otherwise
  )


def luma(planes: Planes) -> Array:
  """Returns the luma [..., H, W] of ITU-R 601, as Pillow."""
  red, green, blue = planes
  return 0.299 * red + 0.587 * green + 0.114 * blue


def grayscale(planes: Planes) -> Planes:
  """Replaces every channel by the image's luma."""
  gray = luma(planes)
  return gray, gray, gray


def brightness(planes: Planes, factor: Array) -> Planes:
  """Blends with black: 0 is black, 1 leaves the image unchanged."""
  return _map(lambda plane: _clip(_per_pixel(factor) * plane), planes)


def saturation(planes: Planes, factor: Array) -> Planes:
  """Blends with the luma: 0 is gray, 1 leaves the image unchanged."""
  return _blend(planes, luma(planes), factor)


def contrast(planes: Planes, factor: Array) -> Planes:
  """Blends with the mean luma: 0 is flat, 1 leaves the image unchanged."""
  mean = jnp.mean(luma(planes), axis=(-2, -1), keepdims=True)
  return _blend(planes, mean, factor)


def hue(planes: Planes, shift: Array) -> Planes:
  """Rotates the hue of HSV by `shift` turns, in [-0.5, 0.5]; 0 is exact.

  Each channel is v - (v - min) w(h), with w a trapezoid over the circle of
  hues (https://en.wikipedia.org/wiki/HSL_and_HSV, "HSV to RGB alternative"),
  which avoids a case distinction by sextant.
  """
  red, green, blue = planes
  value = jnp.maximum(jnp.maximum(red, green), blue)
  chroma = value - jnp.minimum(jnp.minimum(red, green), blue)
  safe = jnp.where(chroma > 0, chroma, 1.0)
  sextant = jnp.where(
    value == red,
    (green - blue) / safe,
    jnp.where(
      value == green, (blue - red) / safe + 2, (red - green) / safe + 4
    ),
  )
  rotated = sextant + 6 * _per_pixel(shift)

  def channel(offset: int) -> Array:
    angle = rotated + offset
    # Not `mod`, which is a call for every pixel on a CPU.
    angle = angle - 6 * jnp.floor(angle / 6)
    return value - chroma * _clip(jnp.minimum(angle, 4 - angle))

  return where(shift == 0, planes, (channel(5), channel(3), channel(1)))


def solarize(planes: Planes) -> Planes:
  """Inverts every value of at least 0.5."""
  return _map(lambda plane: jnp.where(plane < 0.5, plane, 1 - plane), planes)


def equalize(planes: Planes) -> Planes:
  """Flattens the histogram of each channel at 8 bits, as Pillow."""
  return _map(_equalize_plane, planes)


def _equalize_plane(plane: Array) -> Array:
  level = jnp.round(plane * (_LEVELS - 1)).astype(jnp.int32)
  high, low = _one_hot(level // _DIGIT), _one_hot(level % _DIGIT)
  # Histogram and look-up as matrix products over two digits of base 16:
  # scatter and gather are sequential on an accelerator.
  count = jnp.einsum('...ijh,...ijl->...hl', high, low).astype(jnp.int32)
  count = count.reshape((*count.shape[:-2], _LEVELS))
  table = _equalizing_table(count).astype(jnp.float32)
  table = table.reshape((*table.shape[:-1], _DIGIT, _DIGIT))
  rows = jnp.einsum('...ijh,...hl->...ijl', high, table)
  return jnp.sum(rows * low, axis=-1) / (_LEVELS - 1)


def _equalizing_table(count: Array) -> Array:
  """Returns the new level of each level, from counts [..., 256], int32."""
  below = jnp.cumsum(count, axis=-1) - count
  # All pixels except those of the brightest level present.
  rest = jnp.max(jnp.where(count > 0, below, 0), axis=-1, keepdims=True)
  step = rest // (_LEVELS - 1)
  table = (step // 2 + below) // jnp.maximum(step, 1)
  # With too few pixels for a step of one level, Pillow changes nothing.
  unchanged = jnp.broadcast_to(jnp.arange(_LEVELS), count.shape)
  return jnp.where(step > 0, jnp.minimum(table, _LEVELS - 1), unchanged)


def _one_hot(digit: Array) -> Array:
  digits = jnp.arange(_DIGIT).reshape((1,) * digit.ndim + (-1,))
  return (digit[..., None] == digits).astype(jnp.float32)


def _blend(planes: Planes, other: Array, factor: Array) -> Planes:
  weight = _per_pixel(factor)
  return _map(
    lambda plane: _clip(weight * plane + (1 - weight) * other), planes
  )


def _per_pixel(per_image: Array) -> Array:
  return per_image[..., None, None]


def _clip(plane: Array) -> Array:
  return jnp.clip(plane, 0.0, 1.0)


def _map(function: Callable[..., Array], *planes: Planes) -> Planes:
  red, green, blue = (function(*each) for each in zip(*planes, strict=True))
  return red, green, blue
