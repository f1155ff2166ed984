"""Images in TFRecord files, read front to back.

A record is found by its place: the files in order, the records in each. Ids
and labels, and where each record lies in its file, come from one pass that
decodes no image and whose result is kept, see `index_cache`.
"""

from collections.abc import Sequence
from concurrent import futures
from typing import Any

import numpy as np

from semppl_jax.data.batch import UNLABELLED
from semppl_jax.data.sources import index_cache, tfrecord_index
from semppl_jax.data.sources.tfrecord_index import (
  FRAME,
  Keys,
  RecordIndex,
  Shard,
)
from semppl_jax.data.tf.runtime import tf
from semppl_jax.runtime.errors import unreadable_file

_READ_BUFFER = 1 << 20


def index_records(
  shards: Sequence[Shard], where: str, keys: Keys | None = None
) -> RecordIndex:
  """Reads ids and labels of all records, or takes them from the cache.

  Args:
    shards: the runs of records.
    where: field and value, for messages.
    keys: where the features are (default: as the first record says).

  Raises:
    ValueError: a file is absent, damaged, or holds records without an image.
  """
  keys = keys or _find_keys(shards, where)
  cache = index_cache.cache_file(shards, where)
  found = index_cache.load(cache)
  if found is None:
    found = _scan(shards, keys, where)
    index_cache.save(cache, found)
  return tfrecord_index.make_index(shards, keys, found)


def records(
  file: tf.Tensor | str, skip: tf.Tensor | int, take: tf.Tensor | int
) -> tf.data.Dataset:
  """Returns the serialised records of one shard."""
  dataset = tf.data.TFRecordDataset(file, buffer_size=_READ_BUFFER)
  return dataset.skip(skip).take(take)


def parse(serialised: tf.Tensor, keys: Keys) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns the bytes of image and mask of a batch of records, string [B]."""
  wanted = {
    key: tf.io.FixedLenFeature([], tf.string, '')
    for key in (keys.image, keys.mask)
    if key
  }
  found: Any = tf.io.parse_example(serialised, wanted)
  image = found[keys.image]
  return image, found[keys.mask] if keys.mask else tf.zeros_like(image)


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
    present = tf.train.Example.FromString(first).features.feature
  except Exception as error:  # protobuf's DecodeError is not a ValueError.
    raise ValueError(
      f'{where}: the records of {shard.file!r} are not tf.train.Example.'
    ) from error
  # What is no bytes is no image.
  named = {
    name: value
    for name, value in present.items()
    if name not in tfrecord_index.IMAGE_KEYS
    or value.WhichOneof('kind') == 'bytes_list'
  }
  return tfrecord_index.find_keys(named, where)


def _scan(
  shards: Sequence[Shard], keys: Keys, where: str
) -> dict[str, np.ndarray]:
  """One pass over all records, undecoded."""
  # Threads: the time goes into reading, which leaves Python free.
  with futures.ThreadPoolExecutor(min(16, len(shards))) as pool:
    scans = pool.map(lambda shard: _scan_shard(shard, keys, where), shards)
    return tfrecord_index.joined(scans)


def _scan_shard(
  shard: Shard, keys: Keys, where: str
) -> tuple[list[bytes], np.ndarray, np.ndarray, np.ndarray]:
  """Returns ids (empty where there is none), labels, offsets and sizes."""
  wanted = {}
  if keys.label:
    wanted[keys.label] = tf.io.FixedLenFeature([], tf.int64, UNLABELLED)
  if keys.id:
    wanted[keys.id] = tf.io.FixedLenFeature([], tf.string, '')
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
      features = tf.io.parse_example(own, wanted) if wanted else {}
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
