"""JPEGs decoded at a half, a quarter or an eighth, where no view needs more.

Decoding takes most of the time of a large photograph, and libjpeg makes a
smaller one of fewer frequencies in a fraction of it. Each view still comes from
at least as many pixels as it gets.
"""

from collections.abc import Callable, Sequence
from typing import Any

from semppl_jax.data.tf.crop_resize import shapes
from semppl_jax.data.tf.decode import decode_image
from semppl_jax.data.tf.runtime import tf

# Those of libjpeg.
RATIOS = (1, 2, 4, 8)


def header_size(content: tf.Tensor) -> tf.Tensor:
  """Height and width by a JPEG's header, int32 [2]; 0, 0 of another format."""
  return tf.cond(
    tf.io.is_jpeg(content),
    lambda: tf.io.extract_jpeg_shape(content)[:2],
    lambda: tf.zeros([2], tf.int32),
  )


def largest_ratio(spare: tf.Tensor) -> tf.Tensor:
  """The largest of `RATIOS` that is at most `spare`, int32 [...].

  Args:
    spare: how many times the pixels of a side are more than are needed,
      float32 [...]; below 1 where there are too few as it is.
  """
  found = tf.ones_like(spare, tf.int32)
  for ratio in RATIOS[1:]:
    found = tf.where(spare >= ratio, ratio, found)
  return found


def decode(content: tf.Tensor, ratio: tf.Tensor) -> tf.Tensor:
  """Decodes an image as `decode_image`, a JPEG at 1 / `ratio` of its size.

  Args:
    content: bytes, string scalar.
    ratio: one of `RATIOS`, int32 scalar; 1 for what is no JPEG.
  """

  def scaled(ratio: int) -> Any:
    return lambda: tf.io.decode_jpeg(content, channels=3, ratio=ratio)

  image = tf.case(
    [(tf.equal(ratio, r), scaled(r)) for r in RATIOS[1:]],
    default=lambda: decode_image(content),
  )
  return tf.ensure_shape(image, [None, None, 3])


def shrink_boxes(
  boxes: tf.Tensor, sizes: tf.Tensor, own: tf.Tensor
) -> tf.Tensor:
  """Boxes of images in the pixels of scaled ones, int32 [n, V, 4].

  Args:
    boxes: top, left, height, width, int32 [n, V, 4].
    sizes: height and width of the images that they are of, int32 [n, 2].
    own: of the scaled images, int32 [n, 2].
  """
  scale = tf.cast(own, tf.float32) / tf.cast(sizes, tf.float32)
  scale = scale[:, None]
  start, extent = tf.split(tf.cast(boxes, tf.float32), 2, axis=2)
  within = tf.cast(own, tf.float32)[:, None]
  extent = tf.clip_by_value(tf.round(extent * scale), 1.0, within)
  start = tf.minimum(tf.round(start * scale), within - extent)
  return tf.cast(tf.concat([start, extent], axis=2), tf.int32)


def decode_all(
  contents: Sequence[tf.Tensor],
  spare: Callable[[tf.Tensor], tf.Tensor],
) -> tuple[tuple[tf.Tensor, ...], tf.Tensor]:
  """Decodes n images, each at the smallest size that will do.

  Args:
    contents: bytes, string scalars.
    spare: from sizes, int32 [n, 2], to what `largest_ratio` takes [n].

  Returns:
    Images [h, w, 3] each, uint8, and their sizes as they were, int32 [n, 2].
  """
  headers = tf.stack([header_size(each) for each in contents])
  known = headers[:, 0] > 0
  ratios = largest_ratio(spare(tf.maximum(headers, 1)))
  ratios = tf.where(known, ratios, 1)
  images = tuple(map(decode, contents, tf.unstack(ratios)))
  return images, tf.where(known[:, None], headers, shapes(images))
