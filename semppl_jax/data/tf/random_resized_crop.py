"""Random resized crops of decoded images, as TensorFlow graph code.

Every number of a crop is a function of (seed, step, example) alone. Boxes are
of whole pixels; `crop_resize` scales them. The numbers and boxes of a block of
images are computed at once: one by one, they would take longer than to decode a
small image.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ml_collections import ConfigDict
import numpy as np

from semppl_jax.data.tf.crop_resize import (
  crop_and_resize,
  Filter,
  image_sizes,
  to_matrices,
)
from semppl_jax.data.tf.masks import crop_mask
from semppl_jax.data.tf.runtime import tf

TRIES = 10
_PHILOX = 1  # TensorFlow's number of the generator.
_DRAWS = 2 * TRIES + 3  # Area and aspect of each try; top, left, flip.


class CropSettings(NamedTuple):
  """Distribution of the crops of one image, large ones first.

  Attributes:
    counts: number of large and of small views, (L, S).
    sizes: their side in pixels.
    area: share of the image, from and to, one pair per view [V].
    aspect: width over height, from and to, one pair per view [V].
    resize_filter: interpolation.
    flip: probability of a horizontal flip.
  """

  counts: tuple[int, int]
  sizes: tuple[int, int]
  area: tuple[tuple[float, float], ...]
  aspect: tuple[tuple[float, float], ...]
  resize_filter: Filter
  flip: float


class Crops(NamedTuple):
  """Views of n images.

  Attributes:
    large: [n, L, H, W, 3], uint8.
    small: [n, S, h, w, 3], uint8.
    mask: [n, L, H, W], uint8 0 or 1, or () without masks.
  """

  large: tf.Tensor
  small: tf.Tensor
  mask: tf.Tensor | tuple[()]


def crop_settings(config: ConfigDict) -> CropSettings:
  """Reads `config.views`."""
  groups = (config.large, config.small)
  return CropSettings(
    counts=(config.large.count, config.small.count),
    sizes=(config.large.size, config.small.size),
    area=tuple(tuple(g.area) for g in groups for _ in range(g.count)),
    aspect=tuple(tuple(g.aspect) for g in groups for _ in range(g.count)),
    resize_filter=Filter(config.interpolation, config.antialias),
    flip=config.flip,
  )


def draw(
  seed: int, step: tf.Tensor, examples: tf.Tensor, count: int
) -> tf.Tensor:
  """Returns the random numbers of views, [n, V, draws] in [0, 1).

  Args:
    seed: seed of the run.
    step: training step, int64 scalar, below 2**31.
    examples: distinct numbers of n images, below 2**32.
    count: number of views V of each.
  """
  # One 128-bit key per (seed, step, example): no two share one, and the
  # generator does the mixing.
  counter = tf.cast(step, tf.int64) * 2**32 + tf.cast(examples, tf.int64)
  seeds = tf.fill(tf.shape(counter), tf.cast(seed, tf.int64))
  keys = tf.unstack(tf.stack([seeds, counter], 1))
  return tf.stack([_uniform([count, _DRAWS], key) for key in keys])


def _uniform(shape: list[int], seed: tf.Tensor) -> tf.Tensor:
  """Draws as `tf.random.stateless_uniform` on a CPU, in half the operations."""
  key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)
  return tf.raw_ops.StatelessRandomUniformV2(
    shape=shape, key=key, counter=counter, alg=_PHILOX
  )


def crop_boxes(
  numbers: tf.Tensor, sizes: tf.Tensor, settings: CropSettings
) -> tf.Tensor:
  """Returns boxes of random resized crops, int32 [n, V, 4].

  Area uniform in its range, aspect log-uniform in its own (Szegedy et al.,
  "Going Deeper with Convolutions", https://arxiv.org/abs/1409.4842, section
  6). The first of ten tries that fits is taken; if none does, the largest
  centered box whose aspect is in range.

  Args:
    numbers: from `draw`, [n, V, draws].
    sizes: height and width of each image in pixels, int32 [n, 2].
    settings: ranges of area and aspect.

  Returns:
    Top, left, height and width in pixels.
  """
  height, width = tf.split(tf.cast(sizes, tf.float32), 2, axis=1)  # [n, 1]
  tall, wide = height[:, None], width[:, None]
  tries = [TRIES, TRIES, 1, 1, 1]
  area, aspect, top, left, _ = tf.split(numbers, tries, axis=2)
  area = _between(*_ends(settings.area), area) * tall * wide
  narrow, broad = map(tf.math.log, _ends(settings.aspect))
  aspect = tf.exp(_between(narrow, broad, aspect))
  # A try is at least one pixel, so that tiny images have crops too.
  w = tf.maximum(tf.round(tf.sqrt(area * aspect)), 1.0)
  h = tf.maximum(tf.round(tf.sqrt(area / aspect)), 1.0)
  fits = (h <= tall) & (w <= wide)
  first = tf.argmax(tf.cast(fits, tf.int32), axis=2)
  any_fits = tf.reduce_any(fits, axis=2)
  center_h, center_w = _center_size(height, width, settings)
  h = tf.where(any_fits, tf.gather(h, first, batch_dims=2), center_h)
  w = tf.where(any_fits, tf.gather(w, first, batch_dims=2), center_w)

  def start(u: tf.Tensor, room: tf.Tensor) -> tf.Tensor:
    random = tf.floor(u[:, :, 0] * (room + 1.0))
    # A number next to 1 times a large height can round up to the height.
    return tf.minimum(tf.where(any_fits, random, room / 2.0), room)

  boxes = [start(top, height - h), start(left, width - w), h, w]
  return tf.cast(tf.stack(boxes, axis=2), tf.int32)


def random_crops(
  images: Sequence[tf.Tensor],
  masks: Sequence[tf.Tensor],
  numbers: tf.Tensor,
  settings: CropSettings,
  sizes: tf.Tensor | None = None,
) -> Crops:
  """Crops and flips all views of n images, and their masks with them.

  Args:
    images: [height, width, 3] each, uint8.
    masks: [h, w, 1] each, uint8 0 or 1, of any size; or empty.
    numbers: from `draw`, [n, V, draws].
    settings: distribution of the crops.
    sizes: height and width before the images were scaled, int32 [n, 2]; None
      where they were not.
  """
  scaled_sizes = image_sizes(images)
  whole = scaled_sizes if sizes is None else sizes
  boxes = crop_boxes(numbers, whole, settings)
  flips = numbers[:, :, -1] < settings.flip
  mask, L = (), settings.counts[0]
  if masks:
    large = (tf.unstack(x) for x in (whole, boxes[:, :L], flips[:, :L]))
    mask = tf.stack(
      [
        crop_mask(mask, extent, box, flip, settings.sizes[0])
        for mask, extent, box, flip in zip(masks, *large, strict=True)
      ]
    )
  if sizes is not None:
    boxes = shrink_boxes(boxes, sizes, scaled_sizes)
  matrices = to_matrices(images, scaled_sizes)
  large, small = (
    crop_and_resize(
      matrices, boxes[:, part], flips[:, part], size, settings.resize_filter
    )
    for part, size in zip(
      (slice(L), slice(L, None)), settings.sizes, strict=True
    )
  )
  return Crops(large, small, mask)


def shrink_limit(boxes: tf.Tensor, settings: CropSettings) -> tf.Tensor:
  """Returns the factor by which images may shrink without upsampling a view.

  Args:
    boxes: from `crop_boxes`, [n, V, 4].
    settings: sizes of the views.

  Returns:
    The smallest ratio of box side to view side of each image, float32 [n].
  """
  (L, S), (large, small) = settings.counts, settings.sizes
  targets = tf.constant([large] * L + [small] * S, tf.float32)
  sides = tf.cast(tf.reduce_min(boxes[:, :, 2:], axis=2), tf.float32)
  return tf.reduce_min(sides / targets, axis=1)


def center_crops(
  images: Sequence[tf.Tensor], resize: int, crop: int, interpolation: str
) -> tf.Tensor:
  """Scales the short sides to `resize` and crops the centers.

  Args:
    images: [height, width, 3] each, uint8, n of them.
    resize: short side in pixels, at least `crop`.
    crop: side of the result in pixels.
    interpolation: `'bicubic'` or `'bilinear'`, not antialiased.

  Returns:
    [n, crop, crop, 3], uint8.
  """
  sizes = image_sizes(images)
  sides = tf.cast(sizes, tf.float32)
  # The scaled image itself may be huge (1 x 5000 pixels at 256); only the box
  # of the center is scaled. Rounding it shifts the result by at most half a
  # pixel of the scaled image.
  side = tf.reduce_min(sides, axis=1, keepdims=True) * (crop / resize)
  side = tf.maximum(tf.round(tf.concat([side, side], axis=1)), 1.0)
  start = tf.floor((sides - side) / 2.0)
  boxes = tf.cast(tf.concat([start, side], axis=1), tf.int32)[:, None]
  flips = tf.zeros([len(images), 1], tf.bool)
  matrices = to_matrices(images, sizes)
  crops = crop_and_resize(matrices, boxes, flips, crop, Filter(interpolation))
  return crops[:, 0]


def _ends(ranges: Sequence[tuple[float, float]]) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns lower and upper ends, float32 [V, 1]."""
  low, high = np.array(ranges, np.float32).T[:, :, None]
  return tf.constant(low), tf.constant(high)


def _between(low: tf.Tensor, high: tf.Tensor, u: tf.Tensor) -> tf.Tensor:
  return low + (high - low) * u


def _center_size(
  height: tf.Tensor, width: tf.Tensor, settings: CropSettings
) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns height and width [n, V] of the largest box of allowed aspect."""
  low, high = np.array(settings.aspect, np.float32).T
  allowed = tf.minimum(tf.maximum(width / height, low), high)
  w = tf.minimum(width, tf.round(height * allowed))
  h = tf.minimum(height, tf.round(width / allowed))
  return tf.maximum(h, 1.0), tf.maximum(w, 1.0)


def shrink_boxes(
  boxes: tf.Tensor, sizes: tf.Tensor, scaled_sizes: tf.Tensor
) -> tf.Tensor:
  """Converts boxes of images to pixels of their scaled copies, int32 [n, V, 4].

  Args:
    boxes: top, left, height, width, int32 [n, V, 4].
    sizes: height and width of the images, int32 [n, 2].
    scaled_sizes: height and width of the copies, int32 [n, 2].
  """
  scale = tf.cast(scaled_sizes, tf.float32) / tf.cast(sizes, tf.float32)
  scale = scale[:, None]
  start, extent = tf.split(tf.cast(boxes, tf.float32), 2, axis=2)
  within = tf.cast(scaled_sizes, tf.float32)[:, None]
  extent = tf.clip_by_value(tf.round(extent * scale), 1.0, within)
  start = tf.minimum(tf.round(start * scale), within - extent)
  return tf.cast(tf.concat([start, extent], axis=2), tf.int32)
