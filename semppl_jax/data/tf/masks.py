"""Masks as pixels: decoded, and cropped with their image."""

from typing import Any

from semppl_jax.data.tf.runtime import tf


def decode_mask(content: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Decodes a PNG mask to [h, w, 1], 1 above grey 127, and whether it is one.

  Where there is none, or it is blank, it is one pixel of foreground: scaled to
  any image, it masks nothing.

  Args:
    content: bytes of the PNG; '' for no mask.
  """
  foreground = tf.ones([1, 1, 1], tf.uint8)

  def decoded():
    # The highest bit is the threshold, and cheaper than a comparison.
    mask = tf.bitwise.right_shift(
      tf.io.decode_png(content, channels=1), tf.constant(7, tf.uint8)
    )
    # Most masks show at a glance that they are not blank.
    some = _mixed(mask[::16, ::16])
    return mask, tf.cond(some, lambda: some, lambda: _mixed(mask))

  mask, usable = tf.cond(
    tf.equal(content, ''), lambda: (foreground, tf.constant(False)), decoded
  )
  mask = tf.cond(usable, lambda: mask, lambda: foreground)
  return tf.ensure_shape(mask, [None, None, 1]), usable


def _mixed(pixels: tf.Tensor) -> tf.Tensor:
  """Whether not all are the same."""
  return tf.reduce_min(pixels) < tf.reduce_max(pixels)


def crop_mask(
  mask: tf.Tensor,
  shape: tf.Tensor,
  boxes: tf.Tensor,
  flips: tf.Tensor,
  size: int,
) -> tf.Tensor:
  """Crops a mask to the nearest pixels, [L, size, size], uint8.

  Picking rows twice takes a fraction of the time of TensorFlow's resize.

  Args:
    mask: [h, w, 1], uint8. One of another size than the image is scaled to it.
    shape: height and width of the image, int32 [2].
    boxes: top, left, height, width of each crop of the image, int32 [L, 4].
    flips: which are flipped, bool [L].
    size: side of the crops in pixels.
  """
  start, extent = tf.split(boxes[:, :, None], 2, axis=1)
  pixel = start + _nearest(tf.range(size), extent, size)
  pixel = _nearest(pixel, tf.shape(mask)[:2, None], shape[:, None])
  rows, columns = pixel[:, 0], pixel[:, 1]
  columns = tf.where(flips[:, None], columns[:, ::-1], columns)

  def crop(rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    picked = tf.transpose(tf.gather(mask[:, :, 0], rows))
    return tf.transpose(tf.gather(picked, columns))

  return tf.stack([*map(crop, tf.unstack(rows), tf.unstack(columns))])


def _nearest(pixel: tf.Tensor, source: Any, target: Any) -> tf.Tensor:
  """Which of `source` pixels lies at one of the `target` that they become."""
  centre = tf.cast(pixel, tf.float32) + 0.5
  # The product first: it is exact, and a quotient is not.
  product = centre * tf.cast(source, tf.float32)
  return tf.cast(product / tf.cast(target, tf.float32), tf.int32)
