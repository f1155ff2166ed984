"""Crops of a decoded image, as TensorFlow graph code.

Every number of a crop is a function of (seed, step, example) alone. Crops are
resampled from the whole-pixel box, half-pixel centres, without antialiasing
(as the `tf.image.resize` default; torchvision's antialiases), edges clamped to
the box.
"""

from typing import NamedTuple

from ml_collections import ConfigDict

from semppl_jax.data.mask_pixels import crop_mask
from semppl_jax.data.tf_runtime import tf

TRIES = 10
_DRAWS = 2 * TRIES + 3  # Area and aspect of each try; top, left, flip.


class Views(NamedTuple):
  """The crops of one image, large ones first.

  Attributes:
    counts: number of large and of small views, (L, S).
    sizes: their side in pixels.
    area: share of the image, from and to, one pair per view [V].
    aspect: width over height, from and to, one pair per view [V].
    interpolation: `'bicubic'` (Keys, a = -0.5) or `'bilinear'`.
    flip: probability of a horizontal flip.
  """

  counts: tuple[int, int]
  sizes: tuple[int, int]
  area: tuple[tuple[float, float], ...]
  aspect: tuple[tuple[float, float], ...]
  interpolation: str
  flip: float


class Crops(NamedTuple):
  """The views of one image.

  Attributes:
    large: [L, H, W, 3], uint8.
    small: [S, h, w, 3], uint8.
    mask: [L, H, W], uint8 0 or 1, or () without a mask.
  """

  large: tf.Tensor
  small: tf.Tensor
  mask: tf.Tensor | tuple[()]


def make_views(config: ConfigDict) -> Views:
  """Reads `config.views`.

  Raises:
    ValueError: unknown interpolation.
  """
  _resize_op(config.interpolation)
  groups = (config.large, config.small)
  return Views(
    counts=(config.large.count, config.small.count),
    sizes=(config.large.size, config.small.size),
    area=tuple(tuple(g.area) for g in groups for _ in range(g.count)),
    aspect=tuple(tuple(g.aspect) for g in groups for _ in range(g.count)),
    interpolation=config.interpolation,
    flip=config.flip,
  )


def draw(
  seed: int, step: tf.Tensor, example: tf.Tensor, count: int
) -> tf.Tensor:
  """Returns the random numbers of `count` views, [V, draws] in [0, 1).

  Args:
    seed: seed of the run.
    step: training step, int64 scalar, below 2**31.
    example: position of the image in the train set, below 2**31; or another
      number below 2**32 of what is cut.
    count: number of views V.
  """
  # One 128-bit key per (seed, step, example): no two share one, and the
  # generator does the mixing.
  place = tf.cast(step, tf.int64) * 2**32 + tf.cast(example, tf.int64)
  key = tf.stack([tf.constant(seed, tf.int64), place])
  return tf.random.stateless_uniform([count, _DRAWS], key)


def crop_boxes(numbers: tf.Tensor, shape: tf.Tensor, views: Views) -> tf.Tensor:
  """Boxes of random resized crops: top, left, height, width, int32 [V, 4].

  Area uniform in its range, aspect log-uniform in its own (Szegedy et al.,
  "Going Deeper with Convolutions", https://arxiv.org/abs/1409.4842, section
  6). The first of ten tries that fits is taken; if none does, the largest
  centred box whose aspect is in range.

  Args:
    numbers: from `draw`, [V, draws].
    shape: height and width of the image in pixels, int32 [2].
    views: ranges of area and aspect.
  """
  size = tf.cast(shape, tf.float32)
  height, width = size[0], size[1]
  area = _between(views.area, numbers[:, :TRIES]) * height * width
  low_high = tf.math.log(tf.constant(views.aspect, tf.float32))
  aspect = tf.exp(
    low_high[:, :1]
    + (low_high[:, 1:] - low_high[:, :1]) * numbers[:, TRIES : 2 * TRIES]
  )
  # A try is at least one pixel, so that tiny images have crops too.
  w = tf.maximum(tf.round(tf.sqrt(area * aspect)), 1.0)
  h = tf.maximum(tf.round(tf.sqrt(area / aspect)), 1.0)
  fits = (w <= width) & (h <= height)
  first = tf.argmax(tf.cast(fits, tf.int32), axis=1)
  found = tf.reduce_any(fits, axis=1)
  centre_h, centre_w = _centre_size(height, width, views)
  h = tf.where(found, tf.gather(h, first, batch_dims=1), centre_h)
  w = tf.where(found, tf.gather(w, first, batch_dims=1), centre_w)
  top = tf.where(
    found,
    tf.floor(numbers[:, -3] * (height - h + 1.0)),
    tf.floor((height - h) / 2.0),
  )
  left = tf.where(
    found,
    tf.floor(numbers[:, -2] * (width - w + 1.0)),
    tf.floor((width - w) / 2.0),
  )
  # A number next to 1 times a large height can round up to the height.
  top, left = tf.minimum(top, height - h), tf.minimum(left, width - w)
  return tf.cast(tf.stack([top, left, h, w], axis=1), tf.int32)


def random_crops(
  image: tf.Tensor,
  mask: tf.Tensor | None,
  numbers: tf.Tensor,
  views: Views,
) -> Crops:
  """Crops and flips all views of one image, and its mask alike.

  Args:
    image: [height, width, 3], uint8.
    mask: [h, w, 1], uint8 0 or 1, of any size, or None.
    numbers: from `draw`, [V, draws].
    views: what to crop.
  """
  shape = tf.shape(image)[:2]
  boxes = crop_boxes(numbers, shape, views)
  flips = numbers[:, -1] < views.flip
  L, S = views.counts
  large = slice(0, L)
  return Crops(
      large=_crop_all(
          image, boxes[large], flips[large], L, views.sizes[0],
          views.interpolation,
      ),
      small=_crop_all(
          image, boxes[L:], flips[L:], S, views.sizes[1], views.interpolation
      ),
      mask=()
      if mask is None
      else crop_mask(
          mask, shape, boxes[large], flips[large], views.sizes[0]
      ),
  )  # fmt: skip


def centre_crop(
  image: tf.Tensor, resize: int, crop: int, interpolation: str
) -> tf.Tensor:
  """Scales the short side to `resize` and cuts the centre, [crop, crop, 3].

  Args:
    image: [height, width, 3], uint8.
    resize: short side in pixels, at least `crop`.
    crop: side of the result in pixels.
    interpolation: `'bicubic'` or `'bilinear'`.
  """
  shape = tf.cast(tf.shape(image)[:2], tf.float32)
  # The scaled image itself may be huge (1 x 5000 pixels at 256); only the box
  # that the centre comes from is scaled. Half a pixel of the scaled image is
  # the most that rounding the box can shift it.
  side = tf.reduce_min(shape) * (crop / resize)
  size = tf.maximum(tf.round(tf.stack([side, side])), 1.0)
  start = tf.floor((shape - size) / 2.0)
  box = tf.cast(tf.concat([start, size], axis=0), tf.int32)
  return _to_uint8(_resample(image, box, crop, interpolation))


def _between(ranges: tuple[tuple[float, float], ...], u: tf.Tensor):
  low_high = tf.constant(ranges, tf.float32)
  low, high = low_high[:, :1], low_high[:, 1:]
  return low + (high - low) * u


def _centre_size(height: tf.Tensor, width: tf.Tensor, views: Views):
  """Height and width [V] of the largest box with an aspect in range."""
  aspect = tf.constant(views.aspect, tf.float32)
  allowed = tf.minimum(tf.maximum(width / height, aspect[:, 0]), aspect[:, 1])
  w = tf.minimum(width, tf.round(height * allowed))
  h = tf.minimum(height, tf.round(width / allowed))
  return tf.maximum(h, 1.0), tf.maximum(w, 1.0)


def _crop_all(
  image: tf.Tensor,
  boxes: tf.Tensor,
  flips: tf.Tensor,
  count: int,
  size: int,
  interpolation: str,
) -> tf.Tensor:
  """Crops [count, size, size, channels], uint8."""
  if not count:
    return tf.zeros([0, size, size, image.shape[-1]], tf.uint8)
  crops = tf.stack(
    [
      _resample(image, boxes[view], size, interpolation)
      for view in range(count)
    ]
  )
  crops = _to_uint8(crops)
  return tf.where(flips[:, None, None, None], crops[:, :, ::-1], crops)


def _resample(
  image: tf.Tensor, box: tf.Tensor, size: int, interpolation: str
) -> tf.Tensor:
  """Scales a box of the image to [size, size, channels]."""
  begin = tf.concat([box[:2], [0]], axis=0)
  extent = tf.concat([box[2:], [-1]], axis=0)
  cut = tf.ensure_shape(
    tf.slice(image, begin, extent), [None, None, image.shape[-1]]
  )
  return _resize_op(interpolation)(
    images=cut[None], size=[size, size], half_pixel_centers=True
  )[0]


def _resize_op(interpolation: str):
  ops = {
    'bicubic': tf.raw_ops.ResizeBicubic,
    'bilinear': tf.raw_ops.ResizeBilinear,
    'nearest': tf.raw_ops.ResizeNearestNeighbor,
  }
  if interpolation not in ops:
    raise ValueError(
      f'config.views.interpolation={interpolation!r} must be '
      "'bicubic' or 'bilinear'."
    )
  return ops[interpolation]


def _to_uint8(pixels: tf.Tensor) -> tf.Tensor:
  if pixels.dtype == tf.uint8:
    return pixels
  return tf.cast(tf.round(tf.clip_by_value(pixels, 0.0, 255.0)), tf.uint8)
