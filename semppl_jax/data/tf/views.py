"""What rows show of decoded images: views, or canvases for the devices."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from semppl_jax.data.canvas import Canvas
from semppl_jax.data.tf import canvases, random_resized_crop
from semppl_jax.data.tf.runtime import tf

# Images are numbered below it, so that slots draw numbers of their own.
_FIRST_SLOT = 2**31


class Cutter(NamedTuple):
  """What becomes of n images.

  Attributes:
    spare: `(sizes, index, step)`, sizes int32 [n, 2] in pixels, to how many
      times more pixels than they need the images have along a side [n].
    cut: `(images, masks, sizes, index, step)` to rows; sizes are those before
      the images were scaled, or None.
  """

  spare: Callable[..., tf.Tensor]
  cut: Callable[..., Any]


def of_images(config: ConfigDict) -> Cutter:
  """Returns what cuts the images of a batch: to `Crops` or a `Canvas`."""
  if config.data.crops == 'device':
    return _canvas(config)
  return _views(config, random_resized_crop.make_views(config.views))


def of_support(config: ConfigDict) -> Cutter:
  """Returns what cuts those of a support batch; their index is their slot."""
  if config.data.crops == 'device':
    return _canvas(config)
  made, count = (
    random_resized_crop.make_views(config.views),
    config.support.views,
  )
  views = made._replace(
    counts=(count, 0),
    area=made.area[:1] * count,
    aspect=made.aspect[:1] * count,
  )
  # By the slot: an image that stands in two of them is not cut alike.
  cutter = _views(config, views, _FIRST_SLOT)
  return cutter._replace(cut=lambda *x: cutter.cut(*x).large)


def _views(
  config: ConfigDict, views: random_resized_crop.Views, first: int = 0
) -> Cutter:
  def numbers(index, step):
    examples = tf.cast(index, tf.int64) + first
    return random_resized_crop.draw(
      config.seed, step, examples, sum(views.counts)
    )

  def spare(sizes, index, step):
    boxes = random_resized_crop.crop_boxes(numbers(index, step), sizes, views)
    return random_resized_crop.spare_pixels(boxes, views)

  def cut(images, masks, sizes, index, step):
    drawn = numbers(index, step)
    return random_resized_crop.random_crops(images, masks, drawn, views, sizes)

  return Cutter(spare, cut)


def _canvas(config: ConfigDict) -> Cutter:
  size = tuple(config.data.canvas)

  def spare(sizes, index, step):
    del index, step
    return canvases.spare_pixels(sizes, size)

  def cut(images, masks, sizes, index, step):
    del sizes, index, step
    return _placed(images, masks, size)

  return Cutter(spare, cut)


def _placed(
  images: Sequence[tf.Tensor],
  masks: Sequence[tf.Tensor],
  size: tuple[int, int],
) -> Canvas:
  pairs = zip(images, masks or [None] * len(images), strict=True)
  placed = [canvases.place(image, mask, size) for image, mask in pairs]
  return tf.nest.map_structure(lambda *x: tf.stack(x), *placed)
