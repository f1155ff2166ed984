"""Undecoded blocks of the support batches, read wherever they lie."""

import numpy as np

from semppl_jax.data.sources.files import FileSource
from semppl_jax.data.sources.random_access import read_records
from semppl_jax.data.sources.tfrecord_index import RecordSource
from semppl_jax.data.support_set import SupportRows
from semppl_jax.data.tf.runtime import tf

_FOREVER = np.iinfo(np.int64).max


def support_blocks(
  source: FileSource | RecordSource,
  rows: SupportRows,
  start_step: int,
  failures: list[Exception],
) -> tf.data.Dataset:
  """Blocks of the support batches: elements (content [n], slot [n], step).

  Args:
    source: what reads the images.
    rows: which image each slot shows, and the slots of this process.
    start_step: the first step.
    failures: takes the error of a file that cannot be read, of which
      TensorFlow keeps no more than a text.
  """
  block, blocks = rows.stream.block, rows.share.blocks
  slots = np.arange(blocks.start * block, blocks.stop * block, dtype=np.int32)
  shape = (len(blocks), block)

  def read(step):
    images = rows.draw.at(int(step))[slots]
    try:
      return np.array(_stored(source, images), object)
    except ValueError as error:
      failures.append(error)
      raise

  def of_step(step):
    # Python once per step; what takes time in it leaves Python free.
    content = tf.numpy_function(read, [step], tf.string)
    return (
      tf.reshape(content, shape),
      tf.constant(slots.reshape(shape)),
      tf.fill([len(blocks)], step),
    )

  steps = tf.data.Dataset.range(start_step, _FOREVER).map(of_step)
  # One step ahead, so that reading goes on while the last one is decoded.
  return steps.prefetch(1).unbatch()


def _stored(
  source: FileSource | RecordSource, images: np.ndarray
) -> list[str] | list[bytes]:
  """Paths of files, or serialised records."""
  if isinstance(source, FileSource):
    return source.select(images).full_paths()
  return read_records(source, images)
