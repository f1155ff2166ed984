"""Crops of decoded images, as TensorFlow graph code.

Every number of a crop is a function of (seed, step, example) alone. Crops are
scaled from boxes of whole pixels, see `cuts`. All numbers and boxes of a
block of images are computed at once: one by one, they would take longer than
to decode a small image.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ml_collections import ConfigDict
import numpy as np

from semppl_jax.data.tf.crop_resize import (
  Filter,
  flatten,
  INTERPOLATIONS,
  shapes,
  squares,
)
from semppl_jax.data.tf.masks import crop_mask
from semppl_jax.data.tf.runtime import tf
from semppl_jax.data.tf.scaled_decode import shrink_boxes

TRIES = 10
_PHILOX = 1  # TensorFlow's number of the generator.
_DRAWS = 2 * TRIES + 3  # Area and aspect of each try; top, left, flip.


class Views(NamedTuple):
  """The crops of one image, large ones first.

  Attributes:
    counts: number of large and of small views, (L, S).
    sizes: their side in pixels.
    area: share of the image, from and to, one pair per view [V].
    aspect: width over height, from and to, one pair per view [V].
    kind: how a crop is scaled.
    flip: probability of a horizontal flip.
  """

  counts: tuple[int, int]
  sizes: tuple[int, int]
  area: tuple[tuple[float, float], ...]
  aspect: tuple[tuple[float, float], ...]
  kind: Filter
  flip: float


class Crops(NamedTuple):
  """The views of n images.

  Attributes:
    large: [n, L, H, W, 3], uint8.
    small: [n, S, h, w, 3], uint8.
    mask: [n, L, H, W], uint8 0 or 1, or () without masks.
  """

  large: tf.Tensor
  small: tf.Tensor
  mask: tf.Tensor | tuple[()]


def make_views(config: ConfigDict) -> Views:
  """Reads `config.views`.

  Raises:
    ValueError: unknown interpolation.
  """
  if config.interpolation not in INTERPOLATIONS:
    raise ValueError(
      f'config.views.interpolation={config.interpolation!r} must be '
      "'bicubic' or 'bilinear'."
    )
  groups = (config.large, config.small)
  return Views(
    counts=(config.large.count, config.small.count),
    sizes=(config.large.size, config.small.size),
    area=tuple(tuple(g.area) for g in groups for _ in range(g.count)),
    aspect=tuple(tuple(g.aspect) for g in groups for _ in range(g.count)),
    kind=Filter(config.interpolation, config.antialias),
    flip=config.flip,
  )


def draw(
  seed: int, step: tf.Tensor, examples: tf.Tensor, count: int
) -> tf.Tensor:
  """Returns the random numbers of views, [n, V, draws] in [0, 1).

  Args:
    seed: seed of the run.
    step: training step, int64 scalar, below 2**31.
    examples: positions of n images in the train set, below 2**31; or other
      numbers below 2**32 of what is cut.
    count: number of views V of each.
  """
  # One 128-bit key per (seed, step, example): no two share one, and the
  # generator does the mixing.
  place = tf.cast(step, tf.int64) * 2**32 + tf.cast(examples, tf.int64)
  keys = tf.stack([tf.fill(tf.shape(place), tf.cast(seed, tf.int64)), place], 1)
  return tf.stack([_uniform([count, _DRAWS], key) for key in tf.unstack(keys)])


def _uniform(shape: list[int], seed: tf.Tensor) -> tf.Tensor:
  """As `tf.random.stateless_uniform` on a CPU, in half the operations."""
  key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)
  return tf.raw_ops.StatelessRandomUniformV2(
    shape=shape, key=key, counter=counter, alg=_PHILOX
  )


def crop_boxes(numbers: tf.Tensor, sizes: tf.Tensor, views: Views) -> tf.Tensor:
  """Boxes of random resized crops: top, left, height, width, int32 [n, V, 4].

  Area uniform in its range, aspect log-uniform in its own (Szegedy et al.,
  "Going Deeper with Convolutions", https://arxiv.org/abs/1409.4842, section
  6). The first of ten tries that fits is taken; if none does, the largest
  centred box whose aspect is in range.

  Args:
    numbers: from `draw`, [n, V, draws].
    sizes: height and width of each image in pixels, int32 [n, 2].
    views: ranges of area and aspect.
  """
  height, width = tf.split(tf.cast(sizes, tf.float32), 2, axis=1)  # [n, 1]
  tall, wide = height[:, None], width[:, None]
  tries = [TRIES, TRIES, 1, 1, 1]
  area, aspect, top, left, _ = tf.split(numbers, tries, axis=2)
  area = _between(*_ends(views.area), area) * tall * wide
  narrow, broad = map(tf.math.log, _ends(views.aspect))
  aspect = tf.exp(_between(narrow, broad, aspect))
  # A try is at least one pixel, so that tiny images have crops too.
  w = tf.maximum(tf.round(tf.sqrt(area * aspect)), 1.0)
  h = tf.maximum(tf.round(tf.sqrt(area / aspect)), 1.0)
  fits = (h <= tall) & (w <= wide)
  first = tf.argmax(tf.cast(fits, tf.int32), axis=2)
  found = tf.reduce_any(fits, axis=2)
  centre_h, centre_w = _centre_size(height, width, views)
  h = tf.where(found, tf.gather(h, first, batch_dims=2), centre_h)
  w = tf.where(found, tf.gather(w, first, batch_dims=2), centre_w)
  # [n, V]: the last place that a box has, and where it is put.
  below, beside = height - h, width - w
  top = tf.where(found, tf.floor(top[:, :, 0] * (below + 1.0)), below / 2.0)
  left = tf.where(found, tf.floor(left[:, :, 0] * (beside + 1.0)), beside / 2.0)
  # A number next to 1 times a large height can round up to the height.
  top, left = tf.minimum(top, below), tf.minimum(left, beside)
  return tf.cast(tf.stack([top, left, h, w], axis=2), tf.int32)


def random_crops(
  images: Sequence[tf.Tensor],
  masks: Sequence[tf.Tensor],
  numbers: tf.Tensor,
  views: Views,
  sizes: tf.Tensor | None = None,
) -> Crops:
  """Crops and flips all views of n images, and their masks alike.

  Args:
    images: [height, width, 3] each, uint8.
    masks: [h, w, 1] each, uint8 0 or 1, of any size; or empty.
    numbers: from `draw`, [n, V, draws].
    views: what to crop.
    sizes: height and width before the images were scaled, int32 [n, 2]; None
      where they were not.
  """
  own = shapes(images)
  whole = own if sizes is None else sizes
  boxes = crop_boxes(numbers, whole, views)
  flips = numbers[:, :, -1] < views.flip
  mask, L = (), views.counts[0]
  if masks:
    large = (tf.unstack(x) for x in (whole, boxes[:, :L], flips[:, :L]))
    mask = tf.stack(
      [
        crop_mask(mask, extent, box, flip, views.sizes[0])
        for mask, extent, box, flip in zip(masks, *large, strict=True)
      ]
    )
  if sizes is not None:
    boxes = shrink_boxes(boxes, sizes, own)
  pixels = flatten(images, own)
  large, small = (boxes[:, :L], flips[:, :L]), (boxes[:, L:], flips[:, L:])
  return Crops(
    large=squares(pixels, *large, views.sizes[0], views.kind),
    small=squares(pixels, *small, views.sizes[1], views.kind),
    mask=mask,
  )


def spare_pixels(boxes: tf.Tensor, views: Views) -> tf.Tensor:
  """How many times more pixels the sides of all boxes have than their views.

  Args:
    boxes: from `crop_boxes`, [n, V, 4].
    views: what to crop.

  Returns:
    The least of each image, float32 [n].
  """
  (L, S), (large, small) = views.counts, views.sizes
  targets = tf.constant([large] * L + [small] * S, tf.float32)
  sides = tf.cast(tf.reduce_min(boxes[:, :, 2:], axis=2), tf.float32)
  return tf.reduce_min(sides / targets, axis=1)


def centre_crops(
  images: Sequence[tf.Tensor], resize: int, crop: int, interpolation: str
) -> tf.Tensor:
  """Scales the short sides to `resize` and cuts the centres.

  Args:
    images: [height, width, 3] each, uint8, n of them.
    resize: short side in pixels, at least `crop`.
    crop: side of the result in pixels.
    interpolation: `'bicubic'` or `'bilinear'`, plain.

  Returns:
    [n, crop, crop, 3], uint8.
  """
  sizes = shapes(images)
  sides = tf.cast(sizes, tf.float32)
  # The scaled image itself may be huge (1 x 5000 pixels at 256); only the box
  # that the centre comes from is scaled. Half a pixel of the scaled image is
  # the most that rounding the box can shift it.
  side = tf.reduce_min(sides, axis=1, keepdims=True) * (crop / resize)
  side = tf.maximum(tf.round(tf.concat([side, side], axis=1)), 1.0)
  start = tf.floor((sides - side) / 2.0)
  boxes = tf.cast(tf.concat([start, side], axis=1), tf.int32)[:, None]
  flips = tf.zeros([len(images), 1], tf.bool)
  pixels = flatten(images, sizes)
  return squares(pixels, boxes, flips, crop, Filter(interpolation))[:, 0]


def _ends(ranges: Sequence[tuple[float, float]]) -> tuple[tf.Tensor, tf.Tensor]:
  """Lower and upper ends, float32 [V, 1]."""
  low, high = np.array(ranges, np.float32).T[:, :, None]
  return tf.constant(low), tf.constant(high)


def _between(low: tf.Tensor, high: tf.Tensor, u: tf.Tensor) -> tf.Tensor:
  return low + (high - low) * u


def _centre_size(height: tf.Tensor, width: tf.Tensor, views: Views):
  """Height and width [n, V] of the largest box with an aspect in range."""
  low, high = np.array(views.aspect, np.float32).T
  allowed = tf.minimum(tf.maximum(width / height, low), high)
  w = tf.minimum(width, tf.round(height * allowed))
  h = tf.minimum(height, tf.round(width / allowed))
  return tf.maximum(h, 1.0), tf.maximum(w, 1.0)
