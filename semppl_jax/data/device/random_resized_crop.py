"""Boxes of random resized crops, drawn on the accelerator.

The same distribution as `data.crops` draws from, with other numbers: each is a
function of (seed, step, example) alone, whatever row or device an image is on.
"""

from collections.abc import Sequence
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

Array = jax.Array

TRIES = 10
_DRAWS = 2 * TRIES + 3  # Area and aspect of each try; top, left, flip.


class Ranges(NamedTuple):
  """What the crops of an image are drawn from, a pair for each of V views.

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
    flip: whether left and right change places, bool [B, V].
  """

  box: Array
  flip: Array

  def select(self, views: slice) -> 'Boxes':
    """Returns some of the views."""
    return Boxes(self.box[:, views], self.flip[:, views])


def draw(key: Array, example: Array, extent: Array, ranges: Ranges) -> Boxes:
  """Draws the crops of B images.

  Args:
    key: that of the step.
    example: what tells the images of a step apart, uint32 [B].
    extent: height and width of each image in pixels, int32 [B, 2].
    ranges: of V views.
  """
  chex.assert_rank([example, extent], [1, 2])
  keys = jax.vmap(jax.random.fold_in, (None, 0))(key, example)
  count = len(ranges.area)
  numbers = jax.vmap(lambda k: jax.random.uniform(k, (count, _DRAWS)))(keys)
  return Boxes(
    box=boxes_of(numbers, extent, ranges),
    flip=numbers[..., -1] < ranges.flip,
  )


def boxes_of(numbers: Array, extent: Array, ranges: Ranges) -> Array:
  """Boxes of random resized crops, int32 [B, V, 4].

  Area uniform in its range, aspect log-uniform in its own (Szegedy et al.,
  arXiv 1409.4842, section 6). The first of ten tries that fits is taken; if
  none does, the largest centred box whose aspect is in range.

  Args:
    numbers: uniform in [0, 1), [B, V, draws].
    extent: height and width in pixels, int32 [B, 2].
    ranges: of V views.
  """
  height, width = jnp.moveaxis(extent.astype(jnp.float32), -1, 0)[:, :, None]
  tried = numbers[..., :TRIES], numbers[..., TRIES : 2 * TRIES]
  area = _between(ranges.area, tried[0]) * (height * width)[..., None]
  logs = jnp.log(jnp.asarray(ranges.aspect, jnp.float32))
  aspect = jnp.exp(_between(logs, tried[1]))
  # A try is at least one pixel, so that tiny images have crops too.
  w = jnp.maximum(jnp.round(jnp.sqrt(area * aspect)), 1.0)
  h = jnp.maximum(jnp.round(jnp.sqrt(area / aspect)), 1.0)
  fits = (w <= width[..., None]) & (h <= height[..., None])
  first = jnp.argmax(fits, axis=-1)[..., None]
  found = jnp.any(fits, axis=-1)
  centre_h, centre_w = _centre_size(height, width, ranges.aspect)
  h = jnp.where(found, jnp.take_along_axis(h, first, -1)[..., 0], centre_h)
  w = jnp.where(found, jnp.take_along_axis(w, first, -1)[..., 0], centre_w)
  top, left = (
    # A number next to 1 times a large height can round up to the height.
    jnp.minimum(
      jnp.where(found, jnp.floor(u * (room + 1)), jnp.floor(room / 2)), room
    )
    for u, room in (
      (numbers[..., -3], height - h),
      (numbers[..., -2], width - w),
    )
  )
  return jnp.stack([top, left, h, w], axis=-1).astype(jnp.int32)


def _between(pairs, u: Array) -> Array:
  """Brings numbers [B, V, tries] in [0, 1) between the ends of each view."""
  low, high = jnp.moveaxis(jnp.asarray(pairs, jnp.float32), -1, 0)
  low, high = (x[None, :, None] for x in (low, high))
  return low + (high - low) * u


def _centre_size(height, width, aspect) -> tuple[Array, Array]:
  """Height and width [B, V] of the largest box with an aspect in range."""
  low, high = jnp.moveaxis(jnp.asarray(aspect, jnp.float32), -1, 0)[:, None]
  allowed = jnp.clip(width / height, low, high)
  w = jnp.minimum(width, jnp.round(height * allowed))
  h = jnp.minimum(height, jnp.round(width / allowed))
  return jnp.maximum(h, 1.0), jnp.maximum(w, 1.0)
