"""Saliency masks: read from a mask store, decoded, cropped with their image."""

import numpy as np

from semppl_jax.data.masks import KEYS, MaskIndex
from semppl_jax.data.sources.tfrecord_tf import parse, read_records
from semppl_jax.data.tf.runtime import python_strings, tf


def add_masks(
  blocks: tf.data.Dataset,
  masks: MaskIndex,
  count: int,
  failures: list[Exception],
) -> tf.data.Dataset:
  """Adds masks: ((content [n], mask PNG [n]), index [n], step); '' for none.

  Args:
    blocks: elements (content [n], index [n], step), `count` for each step.
    masks: positions of the masks in the store.
    count: elements of a step.
    failures: receives the error of a file that cannot be read.
  """

  def of_step(content, index, step):
    # Python once per step; its slow parts release Python's lock.
    stored = python_strings(
      lambda index: read_masks(masks, index),
      [tf.reshape(index, [-1])],
      failures,
    )
    mask, _ = parse(stored, KEYS)
    return (content, tf.reshape(mask, tf.shape(index))), index, step

  # One step ahead, so that reading goes on while the last one is decoded.
  return blocks.batch(count).map(of_step).prefetch(1).unbatch()


def read_masks(masks: MaskIndex, index: np.ndarray) -> list[bytes]:
  """Reads serialized records; an empty one for an image without a mask."""
  place = masks.place[index]
  where = f'config.data.saliency={masks.folder!r}'
  stored = iter(read_records(masks.source, place[place >= 0], where))
  return [next(stored) if row >= 0 else b'' for row in place]


def decode_mask(content: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Decodes a PNG mask ('' for none) to [h, w, 1], 1 above gray 127.

  Returns:
    The mask, and True if it is neither absent nor blank; otherwise it is one
    pixel of foreground, which scaled to any image masks nothing.
  """
  foreground = tf.ones([1, 1, 1], tf.uint8)

  def decoded():
    # The highest bit is the threshold, and cheaper than a comparison.
    mask = tf.bitwise.right_shift(
      tf.io.decode_png(content, channels=1), tf.constant(7, tf.uint8)
    )
    # A few pixels suffice to see that most masks are not blank.
    varies = _varies(mask[::16, ::16])
    return mask, tf.cond(varies, lambda: varies, lambda: _varies(mask))

  mask, usable = tf.cond(
    tf.equal(content, ''), lambda: (foreground, tf.constant(False)), decoded
  )
  mask = tf.cond(usable, lambda: mask, lambda: foreground)
  return tf.ensure_shape(mask, [None, None, 1]), usable


def _varies(pixels: tf.Tensor) -> tf.Tensor:
  return tf.reduce_min(pixels) < tf.reduce_max(pixels)


def crop_mask(
  mask: tf.Tensor,
  shape: tf.Tensor,
  boxes: tf.Tensor,
  flips: tf.Tensor,
  size: int,
) -> tf.Tensor:
  """Crops a mask to the nearest pixels, [L, size, size], uint8.

  Selecting rows twice takes a fraction of the time of TensorFlow's resize.

  Args:
    mask: [h, w, 1], uint8, as if resized to the size of its image.
    shape: height and width of the image, int32 [2].
    boxes: top, left, height, width of each crop of the image, int32 [L, 4].
    flips: True to mirror a crop, bool [L].
    size: side of the crops in pixels.
  """
  start, extent = tf.split(boxes[:, :, None], 2, axis=1)
  pixel = start + _nearest(tf.range(size), extent, size)
  pixel = _nearest(pixel, tf.shape(mask)[:2, None], shape[:, None])
  rows, columns = pixel[:, 0], pixel[:, 1]
  columns = tf.where(flips[:, None], columns[:, ::-1], columns)

  def crop(rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    selected = tf.transpose(tf.gather(mask[:, :, 0], rows))
    return tf.transpose(tf.gather(selected, columns))

  return tf.stack([*map(crop, tf.unstack(rows), tf.unstack(columns))])


def _nearest(
  pixel: tf.Tensor, source: tf.Tensor, target: tf.Tensor | int
) -> tf.Tensor:
  """Returns the pixel of `source` pixels nearest to one of `target` pixels."""
  center = tf.cast(pixel, tf.float32) + 0.5
  # The product first: it is exact, and a quotient is not.
  product = center * tf.cast(source, tf.float32)
  return tf.cast(product / tf.cast(target, tf.float32), tf.int32)
