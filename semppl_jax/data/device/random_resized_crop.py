"""Boxes of random resized crops, drawn on the accelerator.

The distribution is that of `data.tf.random_resized_crop`, with other numbers:
each is a function of (seed, step, example) alone, whatever the row or device of
an image.
"""

from collections.abc import Sequence
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

Array = jax.Array

TRIES = 10
_DRAWS = 2 * TRIES + 3  # Area and aspect of each try; top, left, flip.


class CropRanges(NamedTuple):
  """Distribution of the crops of an image, a pair for each of V views.

  Attributes:
    area: share of the image, from and to.
    aspect: width over height, from and to.
    flip: probability of a horizontal flip, the same for all.
  """

  area: Sequence[tuple[float, float]]
  aspect: Sequence[tuple[float, float]]
  flip: float


class Boxes(NamedTuple):
  """Crops of B images.

  Attributes:
    box: top, left, height and width in pixels, int32 [B, V, 4].
    flip: True to mirror left and right, bool [B, V].
  """

  box: Array
  flip: Array

  def select(self, views: slice) -> 'Boxes':
    """Returns some of the views."""
    return Boxes(self.box[:, views], self.flip[:, views])


def draw(key: Array, example: Array, size: Array, ranges: CropRanges) -> Boxes:
  """Draws the crops of B images.

  Args:
    key: key of the step.
    example: distinct numbers of the images of a step, uint32 [B].
    size: height and width of each image in pixels, int32 [B, 2].
    ranges: distribution of V views.
  """
  chex.assert_rank([example, size], [1, 2])
  keys = jax.vmap(jax.random.fold_in, (None, 0))(key, example)
  count = len(ranges.area)
  numbers = jax.vmap(lambda k: jax.random.uniform(k, (count, _DRAWS)))(keys)
  return Boxes(
    box=crop_boxes(numbers, size, ranges),
    flip=numbers[..., -1] < ranges.flip,
  )


def crop_boxes(numbers: Array, size: Array, ranges: CropRanges) -> Array:
  """Returns boxes of random resized crops, int32 [B, V, 4].

  Area uniform in its range, aspect log-uniform in its own (Szegedy et al.,
  arXiv 1409.4842, section 6). The first of ten tries that fits is taken; if
  none does, the largest centered box whose aspect is in range.

  Args:
    numbers: uniform in [0, 1), [B, V, draws].
    size: height and width in pixels, int32 [B, 2].
    ranges: distribution of V views.
  """
  height, width = jnp.moveaxis(size.astype(jnp.float32), -1, 0)[:, :, None]
  tries = numbers[..., :TRIES], numbers[..., TRIES : 2 * TRIES]
  area = _between(ranges.area, tries[0]) * (height * width)[..., None]
  logs = jnp.log(jnp.asarray(ranges.aspect, jnp.float32))
  aspect = jnp.exp(_between(logs, tries[1]))
  # A try is at least one pixel, so that tiny images have crops too.
  w = jnp.maximum(jnp.round(jnp.sqrt(area * aspect)), 1.0)
  h = jnp.maximum(jnp.round(jnp.sqrt(area / aspect)), 1.0)
  fits = (w <= width[..., None]) & (h <= height[..., None])
  first = jnp.argmax(fits, axis=-1)[..., None]
  any_fits = jnp.any(fits, axis=-1)
  center_h, center_w = _center_size(height, width, ranges.aspect)
  h = jnp.where(any_fits, jnp.take_along_axis(h, first, -1)[..., 0], center_h)
  w = jnp.where(any_fits, jnp.take_along_axis(w, first, -1)[..., 0], center_w)

  def start(u: Array, room: Array) -> Array:
    random = jnp.floor(u * (room + 1))
    # A number next to 1 times a large height can round up to the height.
    return jnp.minimum(jnp.where(any_fits, random, jnp.floor(room / 2)), room)

  top, left = (
    start(numbers[..., -3], height - h),
    start(numbers[..., -2], width - w),
  )
  return jnp.stack([top, left, h, w], axis=-1).astype(jnp.int32)


def _between(pairs: Array | Sequence[tuple[float, float]], u: Array) -> Array:
  """Maps numbers [B, V, tries] in [0, 1) to the range of each view."""
  low, high = jnp.moveaxis(jnp.asarray(pairs, jnp.float32), -1, 0)
  low, high = (x[None, :, None] for x in (low, high))
  return low + (high - low) * u


def _center_size(
  height: Array, width: Array, aspect: Sequence[tuple[float, float]]
) -> tuple[Array, Array]:
  """Returns height and width [B, V] of the largest box of allowed aspect."""
  low, high = jnp.moveaxis(jnp.asarray(aspect, jnp.float32), -1, 0)[:, None]
  allowed = jnp.clip(width / height, low, high)
  w = jnp.minimum(width, jnp.round(height * allowed))
  h = jnp.minimum(height, jnp.round(width / allowed))
  return jnp.maximum(h, 1.0), jnp.maximum(w, 1.0)
