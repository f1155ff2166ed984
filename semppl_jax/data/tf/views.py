"""Rows from decoded images: crops, or canvases that the device crops.

A canvas holds a whole image. Images that fit are copied; larger ones are scaled
down, each pixel the mean of those it covers. An upright image is transposed
where the canvas is wider than high, so that fewer images have to be scaled.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from jaxtyping import PyTree
from ml_collections import ConfigDict

from semppl_jax.data.batch import Canvas
from semppl_jax.data.tf import random_resized_crop
from semppl_jax.data.tf.crop_resize import to_uint8
from semppl_jax.data.tf.random_resized_crop import CropSettings
from semppl_jax.data.tf.runtime import tf

# Images are numbered below it, so that slots draw numbers of their own.
_FIRST_SLOT = 2**31


class ViewMaker(NamedTuple):
  """Functions from n decoded images to their rows.

  Attributes:
    shrink_limit: `(sizes, index, step)`, sizes int32 [n, 2] in pixels, to the
      factor by which each image may be decoded smaller, float32 [n].
    rows: `(images, masks, sizes, index, step)` to rows; sizes are those before
      the images were scaled, or None.
  """

  shrink_limit: Callable[..., tf.Tensor]
  rows: Callable[..., PyTree]


def batch_views(config: ConfigDict) -> ViewMaker:
  """Returns the maker of batch rows: `Crops`, or a `Canvas`."""
  if config.data.crops == 'device':
    return _canvases(config)
  return _crops(config, random_resized_crop.crop_settings(config.views))


def support_views(config: ConfigDict) -> ViewMaker:
  """Returns the maker of support rows, whose index is their slot.

  Rows are large crops [n, v, H, W, 3], or a `Canvas`.
  """
  if config.data.crops == 'device':
    return _canvases(config)
  settings = random_resized_crop.crop_settings(config.views)
  count = config.support.views
  settings = settings._replace(
    counts=(count, 0),
    area=settings.area[:1] * count,
    aspect=settings.aspect[:1] * count,
  )
  # Numbered by slot: an image in two slots gets different crops.
  maker = _crops(config, settings, _FIRST_SLOT)
  return maker._replace(rows=lambda *args: maker.rows(*args).large)


def _crops(
  config: ConfigDict, settings: CropSettings, first: int = 0
) -> ViewMaker:
  def draw(index, step):
    examples = tf.cast(index, tf.int64) + first
    count = sum(settings.counts)
    return random_resized_crop.draw(config.seed, step, examples, count)

  def shrink_limit(sizes, index, step):
    boxes = random_resized_crop.crop_boxes(draw(index, step), sizes, settings)
    return random_resized_crop.shrink_limit(boxes, settings)

  def rows(images, masks, sizes, index, step):
    numbers = draw(index, step)
    return random_resized_crop.random_crops(
      images, masks, numbers, settings, sizes
    )

  return ViewMaker(shrink_limit, rows)


def _canvases(config: ConfigDict) -> ViewMaker:
  size = tuple(config.data.canvas)

  def rows(images, masks, sizes, index, step):
    del sizes, index, step
    pairs = zip(images, masks or [None] * len(images), strict=True)
    placed = [place_on_canvas(image, mask, size) for image, mask in pairs]
    return tf.nest.map_structure(lambda *x: tf.stack(x), *placed)

  return ViewMaker(lambda sizes, *_: canvas_shrink_limit(sizes, size), rows)


def place_on_canvas(
  image: tf.Tensor, mask: tf.Tensor | None, size: Sequence[int]
) -> Canvas:
  """Places an image, and its mask with it, on a canvas.

  Args:
    image: [height, width, 3], uint8.
    mask: [h, w, 1], uint8 0 or 1, or None. A mask of another size than the
      image is resized to it, to the nearest pixel.
    size: height and width of the canvas, H and W.

  Returns:
    Tensors without a leading axis; `mask` is () without one.
  """
  oriented, transposed = _oriented_size(tf.shape(image)[:2], size)
  within = tf.constant(size, tf.float32)
  scale = tf.reduce_min(within / tf.cast(oriented, tf.float32))
  fitted = tf.cast(tf.round(tf.cast(oriented, tf.float32) * scale), tf.int32)
  extent = tf.where(scale < 1, tf.maximum(fitted, 1), oriented)
  upright = tf.where(transposed, extent[::-1], extent)

  def place(pixels: tf.Tensor, channels: int, resize) -> tf.Tensor:
    pixels = tf.cond(
      tf.reduce_all(tf.equal(tf.shape(pixels)[:2], upright)),
      lambda: pixels,
      lambda: resize(pixels, upright),
    )
    pixels = tf.cond(
      transposed, lambda: tf.transpose(pixels, [1, 0, 2]), lambda: pixels
    )
    # Padding a matrix is faster.
    rows = tf.reshape(pixels, [extent[0], -1])
    room = (tf.constant(size) - extent) * [1, channels]
    padded = tf.pad(rows, tf.stack([tf.zeros_like(room), room], axis=1))
    return tf.reshape(padded, [*size, channels])

  return Canvas(
    image=place(image, 3, _mean_resize),
    extent=extent,
    mask=() if mask is None else place(mask, 1, _nearest_resize)[:, :, 0],
    transposed=transposed,
  )


def canvas_shrink_limit(sizes: tf.Tensor, size: Sequence[int]) -> tf.Tensor:
  """Returns the factor by which images [n, 2] exceed a canvas, float32 [n]."""
  oriented, _ = _oriented_size(sizes, size)
  within = tf.constant(size, tf.float32)
  return tf.reduce_max(tf.cast(oriented, tf.float32) / within, axis=1)


def _oriented_size(
  sizes: tf.Tensor, size: Sequence[int]
) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns sizes as on the canvas [..., 2], and which are transposed [...]."""
  height, width = tf.unstack(sizes, num=2, axis=-1)
  transposed = (height > width) != (size[0] > size[1])
  transposed &= size[0] != size[1]
  swapped = tf.reverse(sizes, [-1])
  return tf.where(transposed[..., None], swapped, sizes), transposed


def _mean_resize(pixels: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
  # Faster than an antialiased kernel, and no pixel is left out either.
  return to_uint8(tf.image.resize(pixels, shape, 'area'))


def _nearest_resize(pixels: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
  return tf.image.resize(pixels, shape, 'nearest')
