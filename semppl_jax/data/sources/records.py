"""Images in TFRecord files, read front to back.

A record is found by its place: the files in order, the records in each. Ids
and labels, and where each record lies in its file, come from one pass that
decodes no image and whose result is kept, see `index_cache`.
"""

from collections.abc import Sequence
from concurrent import futures
from typing import Any, NamedTuple

import numpy as np

from semppl_jax.batch import UNLABELLED
from semppl_jax.data.sources import index_cache
from semppl_jax.data.sources.problems import unreadable
from semppl_jax.data.tf_runtime import tf

IMAGE_KEYS = ('image', 'image/encoded')
LABEL_KEYS = ('label', 'image/class/label')
ID_KEYS = ('id', 'file_name', 'image/filename')
MASK_KEYS = ('mask',)
# Before the bytes of a record: their number (8) and its checksum.
HEADER = 12
_FRAME = HEADER + 4  # After them, a checksum of their own.
_READ_BUFFER = 1 << 20


class Shard(NamedTuple):
  """A run of records in one file.

  Attributes:
    file: TFRecord file.
    skip: records before the run.
    take: records in the run, or -1 for all that follow.
  """

  file: str
  skip: int = 0
  take: int = -1


class Keys(NamedTuple):
  """Feature keys of a record; '' where it has no such feature."""

  image: str
  label: str
  id: str
  mask: str


class RecordSource(NamedTuple):
  """Images in TFRecord shards.

  Attributes:
    shards: runs of records; their concatenation is the order of the source.
    lengths: records in each shard, int64 [shards].
    offsets: where each record begins in its file, int64 [records].
    sizes: bytes of each record without its frame, int64 [records].
    keys: where the features of a record are.
    rows: which records are part of the source, ascending int64 [n].
  """

  shards: tuple[Shard, ...]
  lengths: np.ndarray
  offsets: np.ndarray
  sizes: np.ndarray
  keys: Keys
  rows: np.ndarray

  @property
  def has_masks(self) -> bool:
    """Whether the records carry a mask beside the image."""
    return bool(self.keys.mask)

  @property
  def mean_bytes(self) -> float:
    """Mean size of a record."""
    return float(self.sizes.mean())

  def select(self, rows: np.ndarray) -> 'RecordSource':
    """Returns the source of `rows` (ascending int [m]) alone."""
    return self._replace(rows=self.rows[rows])


class RecordIndex(NamedTuple):
  """A record source with what its records say.

  Attributes:
    source: the records.
    ids: str [n].
    labels: int32 [n], -1 where there is none.
  """

  source: RecordSource
  ids: np.ndarray
  labels: np.ndarray


def index_records(shards: Sequence[Shard], where: str) -> RecordIndex:
  """Reads ids and labels of all records, or takes them from the cache.

  Args:
    shards: the runs of records.
    where: field and value, for messages.

  Raises:
    ValueError: a file is absent, damaged, or holds records without an image.
  """
  keys = _find_keys(shards, where)
  cache = index_cache.cache_file(shards, where)
  found = index_cache.load(cache)
  if found is None:
    found = _scan(shards, keys, where)
    index_cache.save(cache, found)
  ids = np.char.decode(found['ids'], 'utf-8')
  source = RecordSource(
    shards=tuple(shards),
    lengths=found['lengths'],
    offsets=found['offsets'],
    sizes=found['sizes'],
    keys=keys,
    rows=np.arange(len(ids), dtype=np.int64),
  )
  return RecordIndex(source, ids, found['labels'])


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
      raise unreadable(where, shard.file, error) from error
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
  keys = Keys(
    *(
      next((key for key in wanted if key in present), '')
      for wanted in (IMAGE_KEYS, LABEL_KEYS, ID_KEYS, MASK_KEYS)
    )
  )
  if not keys.image or present[keys.image].WhichOneof('kind') != 'bytes_list':
    raise ValueError(
      f'{where}: the records have features {sorted(present)}, and none of '
      f'{IMAGE_KEYS} with the bytes of an image.'
    )
  return keys


def _scan(
  shards: Sequence[Shard], keys: Keys, where: str
) -> dict[str, np.ndarray]:
  """One pass over all records, undecoded."""
  # Threads: the time goes into reading, which leaves Python free.
  with futures.ThreadPoolExecutor(min(16, len(shards))) as pool:
    scans = pool.map(lambda shard: _scan_shard(shard, keys, where), shards)
    ids, labels, offsets, sizes = zip(*scans, strict=True)
  named = [
    name or f'{number}:{row}'.encode()
    for number, names in enumerate(ids)
    for row, name in enumerate(names)
  ]
  return {
    'ids': np.array(named),
    'labels': np.concatenate(labels).astype(np.int32),
    'lengths': np.array([len(names) for names in ids], np.int64),
    'offsets': np.concatenate(offsets),
    'sizes': np.concatenate(sizes),
  }


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
    raise unreadable(where, shard.file, error) from error
  size = np.concatenate(sizes)
  offset = np.cumsum(size + _FRAME) - size - _FRAME
  own = slice(shard.skip, None)
  return ids, np.concatenate(labels), offset[own], size[own]
