"""Blocks of images, and with them their masks from a store."""

import numpy as np

from semppl_jax.data.mask_facts import KEYS
from semppl_jax.data.masks import Masks
from semppl_jax.data.sources.random_access import read_records
from semppl_jax.data.sources.tfrecord_tf import parse
from semppl_jax.data.tf.runtime import tf


def with_masks(
  raws: tf.data.Dataset, masks: Masks, blocks: int, failures: list[Exception]
) -> tf.data.Dataset:
  """Elements ((content [n], mask PNG [n]), index [n], step); '' without mask.

  Args:
    raws: elements (content [n], index [n], step).
    masks: where the masks are.
    blocks: elements of a step.
    failures: takes the error of a file that cannot be read, of which
      TensorFlow keeps no more than a text.
  """

  def read(index):
    try:
      return np.array(_stored(masks, index), object)
    except ValueError as error:
      failures.append(error)
      raise

  def of_step(content, index, step):
    # Python once per step; what takes time in it leaves Python free.
    flat = tf.reshape(index, [-1])
    stored = tf.ensure_shape(tf.numpy_function(read, [flat], tf.string), [None])
    mask, _ = parse(stored, KEYS)
    return (content, tf.reshape(mask, tf.shape(index))), index, step

  # One step ahead, so that reading goes on while the last one is decoded.
  return raws.batch(blocks).map(of_step).prefetch(1).unbatch()


def _stored(masks: Masks, index: np.ndarray) -> list[bytes]:
  """Serialised records; an empty one for an image without a mask."""
  place = masks.place[index]
  where = f'config.data.saliency={masks.folder!r}'
  found = iter(read_records(masks.source, place[place >= 0], where))
  return [next(found) if row >= 0 else b'' for row in place]
