"""JPEGs decoded at a half, a quarter or an eighth of their size.

Decoding takes most of the time of a large photograph, and libjpeg decodes to a
smaller size, from fewer frequencies, in a fraction of it. A ratio is used only
where each view still comes from at least as many pixels as it has.
"""

from collections.abc import Callable, Sequence

from semppl_jax.data.tf.crop_resize import image_sizes
from semppl_jax.data.tf.decode import decode_image
from semppl_jax.data.tf.runtime import tf

RATIOS = (1, 2, 4, 8)  # Supported by libjpeg.


def header_size(content: tf.Tensor) -> tf.Tensor:
  """Returns height and width from a JPEG header, int32 [2]; else 0, 0."""
  return tf.cond(
    tf.io.is_jpeg(content),
    lambda: tf.io.extract_jpeg_shape(content)[:2],
    lambda: tf.zeros([2], tf.int32),
  )


def largest_ratio(limit: tf.Tensor) -> tf.Tensor:
  """Returns the largest of `RATIOS` up to `limit` (float32), or 1, int32."""
  largest = tf.ones_like(limit, tf.int32)
  for ratio in RATIOS[1:]:
    largest = tf.where(limit >= ratio, ratio, largest)
  return largest


def decode(content: tf.Tensor, ratio: tf.Tensor) -> tf.Tensor:
  """Decodes an image as `decode_image`, a JPEG at 1 / `ratio` of its size."""

  def scaled(ratio: int) -> Callable[[], tf.Tensor]:
    return lambda: tf.io.decode_jpeg(content, channels=3, ratio=ratio)

  image = tf.case(
    [(tf.equal(ratio, r), scaled(r)) for r in RATIOS[1:]],
    default=lambda: decode_image(content),
  )
  return tf.ensure_shape(image, [None, None, 3])


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


def decode_all(
  contents: Sequence[tf.Tensor],
  shrink_limit: Callable[[tf.Tensor], tf.Tensor],
) -> tuple[tuple[tf.Tensor, ...], tf.Tensor]:
  """Decodes n images, each at the smallest sufficient size.

  Args:
    contents: bytes, string scalars.
    shrink_limit: from sizes, int32 [n, 2], to the largest factor by which each
      image may shrink, float32 [n].

  Returns:
    Images [h, w, 3] each, uint8, and their original sizes, int32 [n, 2].
  """
  headers = tf.stack([header_size(each) for each in contents])
  is_jpeg = headers[:, 0] > 0
  ratios = largest_ratio(shrink_limit(tf.maximum(headers, 1)))
  ratios = tf.where(is_jpeg, ratios, 1)
  images = tuple(map(decode, contents, tf.unstack(ratios)))
  return images, tf.where(is_jpeg[:, None], headers, image_sizes(images))
