"""TFRecord files read by TensorFlow: front to back, or single records.

Ids and labels, and the place of each record in its file, come from one pass
that decodes no image; `tfrecord_index` caches its result.

To read single records from an object store, TensorFlow fetches a whole block
for each of them: of 64 MB, unless the variable GCS_READ_CACHE_BLOCK_SIZE_MB
says less.
"""

from collections.abc import Sequence
from concurrent import futures
import itertools
from typing import Any

import numpy as np

from semppl_jax.data.batch import UNLABELLED
from semppl_jax.data.sources import tfrecord_index
from semppl_jax.data.sources.tfrecord_index import (
  FRAME,
  HEADER,
  Keys,
  RecordIndex,
  RecordSource,
  Scan,
  Shard,
)
from semppl_jax.data.tf.runtime import tf
from semppl_jax.runtime.errors import unreadable_file

_READ_BUFFER = 1 << 20
# Each has a file open. An object store is slow to answer, and answers many at
# once; a disk is as quick with one.
_THREADS = 16


def index_records(
  shards: Sequence[Shard], where: str, keys: Keys | None = None
) -> RecordIndex:
  """Reads ids and labels of all records, or takes them from the cache.

  Args:
    shards: the runs of records.
    where: field and value, for messages.
    keys: feature keys (default: those of the first record).

  Raises:
    ValueError: a file is missing, damaged, or holds records without an image.
  """
  keys = keys or _find_keys(shards, where)
  arrays = tfrecord_index.load_or_scan(
    shards, where, lambda: _scan(shards, keys, where)
  )
  return tfrecord_index.make_index(shards, keys, arrays)


def records(
  file: tf.Tensor | str, skip: tf.Tensor | int, take: tf.Tensor | int
) -> tf.data.Dataset:
  """Returns the serialized records of one shard."""
  dataset = tf.data.TFRecordDataset(file, buffer_size=_READ_BUFFER)
  return dataset.skip(skip).take(take)


def parse(serialized: tf.Tensor, keys: Keys) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns the bytes of image and mask of a batch of records, string [B]."""
  spec = {
    key: tf.io.FixedLenFeature([], tf.string, '')
    for key in (keys.image, keys.mask)
    if key
  }
  features: Any = tf.io.parse_example(serialized, spec)
  image = features[keys.image]
  return image, features[keys.mask] if keys.mask else tf.zeros_like(image)


def read_records(
  source: RecordSource, indices: np.ndarray, where: str = 'config.data'
) -> list[bytes]:
  """Returns the serialized records of the images at `indices`.

  Args:
    source: the records.
    indices: positions in it, int [n], in any order and possibly repeated.
    where: the field of the files, for messages.

  Raises:
    ValueError: a file cannot be read, or has changed since it was indexed.
  """
  rows, inverse = np.unique(source.rows[indices], return_inverse=True)
  shards = source.shard_of(rows)
  with futures.ThreadPoolExecutor(_THREADS) as pool:
    parts = pool.map(
      lambda shard: _read_shard(source, shard, rows[shards == shard], where),
      np.unique(shards),
    )
    distinct = list(itertools.chain.from_iterable(parts))
  return [distinct[place] for place in inverse]


def read_one(
  opened: tf.io.gfile.GFile, offset: int, size: int, where: str
) -> bytes:
  """Reads one record.

  Args:
    opened: the file.
    offset: first byte of the record's frame.
    size: its bytes, without its frame.
    where: the field of the file, for messages.

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


def _find_keys(shards: Sequence[Shard], where: str) -> Keys:
  for shard in shards:
    try:
      first = next(iter(records(*shard).take(1).as_numpy_iterator()), None)
    except tf.errors.OpError as error:
      raise unreadable_file(where, shard.file, error) from error
    if first is not None:
      break
  else:
    raise ValueError(f'{where} holds no records.')
  try:
    features = tf.train.Example.FromString(first).features.feature
  except Exception as error:  # protobuf's DecodeError is not a ValueError.
    raise ValueError(
      f'{where}: the records of {shard.file!r} are not tf.train.Example.'
    ) from error
  is_bytes = {
    name: value.WhichOneof('kind') == 'bytes_list'
    for name, value in features.items()
  }
  return tfrecord_index.find_keys(is_bytes, where)


def _scan(
  shards: Sequence[Shard], keys: Keys, where: str
) -> dict[str, np.ndarray]:
  """Reads all records once, undecoded."""
  # Threads: the time goes into reading, which leaves Python free.
  with futures.ThreadPoolExecutor(min(_THREADS, len(shards))) as pool:
    scans = pool.map(lambda shard: _scan_shard(shard, keys, where), shards)
    return tfrecord_index.join_scans(scans)


def _scan_shard(shard: Shard, keys: Keys, where: str) -> Scan:
  spec = {}
  if keys.label:
    spec[keys.label] = tf.io.FixedLenFeature([], tf.int64, UNLABELLED)
  if keys.id:
    spec[keys.id] = tf.io.FixedLenFeature([], tf.string, '')
  empty = np.zeros(0, np.int64)
  ids, labels, sizes = [], [empty], [empty]
  # From the first record on: an offset is the sum of the sizes before it.
  last = shard.take if shard.take < 0 else shard.skip + shard.take
  begin = 0
  try:
    for batch in records(shard.file, 0, last).batch(1024):
      sizes.append(tf.strings.length(batch).numpy().astype(np.int64))
      own = batch[max(shard.skip - begin, 0) :]
      begin += int(batch.shape[0])
      features = tf.io.parse_example(own, spec) if spec else {}
      rows = int(own.shape[0])
      none = np.full(rows, UNLABELLED, np.int64)
      labels.append(features[keys.label].numpy() if keys.label else none)
      ids += list(features[keys.id].numpy()) if keys.id else [b''] * rows
  except tf.errors.OpError as error:
    raise unreadable_file(where, shard.file, error) from error
  size = np.concatenate(sizes)
  offset = np.cumsum(size + FRAME) - size - FRAME
  own = slice(shard.skip, None)
  return ids, np.concatenate(labels), offset[own], size[own]
