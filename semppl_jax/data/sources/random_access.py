"""Single records of TFRecord files, in any order.

From an object store TensorFlow fetches a whole block for each of them: of 64
MB, unless the variable GCS_READ_CACHE_BLOCK_SIZE_MB says less.
"""

from concurrent import futures
import itertools
from typing import Any

import numpy as np

from semppl_jax.data.sources.tfrecord_index import HEADER, RecordSource
from semppl_jax.data.tf.runtime import tf
from semppl_jax.runtime.errors import unreadable_file

# Each has a file open. An object store is slow to answer, and answers many at
# once; a disk is as quick with one.
_THREADS = 16


def read_records(
  source: RecordSource, indices: np.ndarray, where: str = 'config.data'
) -> list[bytes]:
  """Returns the serialised records of the images at `indices`.

  Args:
    source: the records.
    indices: positions in it, int [n], in any order; one may stand repeatedly.
    where: the field that names the files, for messages.

  Raises:
    ValueError: a file cannot be read, or is not the one that was indexed.
  """
  rows, inverse = np.unique(source.rows[indices], return_inverse=True)
  shards = np.searchsorted(np.cumsum(source.lengths), rows, side='right')
  with futures.ThreadPoolExecutor(_THREADS) as pool:
    found = pool.map(
      lambda shard: _read_shard(source, shard, rows[shards == shard], where),
      np.unique(shards),
    )
    records = list(itertools.chain.from_iterable(found))
  return [records[place] for place in inverse]


def _read_shard(
  source: RecordSource, shard: int, rows: np.ndarray, where: str
) -> list[bytes]:
  """Reads the records `rows` (ascending int [m]), all of one shard."""
  file = source.shards[shard].file
  try:
    with tf.io.gfile.GFile(file, 'rb') as opened:
      return [
        read_one(
          opened, int(source.offsets[row]), int(source.sizes[row]), where
        )
        for row in rows
      ]
  except tf.errors.OpError as error:
    raise unreadable_file(where, file, error) from error


def read_one(opened: Any, offset: int, size: int, where: str) -> bytes:
  """Reads one record.

  Args:
    opened: the file.
    offset: where the record begins.
    size: its bytes, without its frame.
    where: the field that names the file, for messages.

  Raises:
    ValueError: there is no such record.
  """
  try:
    opened.seek(offset)
    frame = opened.read(HEADER + size)
  except tf.errors.OutOfRangeError:
    frame = b''
  if len(frame) < HEADER + size or int.from_bytes(frame[:8], 'little') != size:
    raise ValueError(
      f'{where}: {opened.name!r} has changed since it was indexed, and has no '
      f'record of {size} bytes at byte {offset}; start again to index it.'
    )
  return frame[HEADER:]
