"""Index of the images in TFRecord files, and its cache; reads no image.

Shared by the readers with and without TensorFlow. The cache file is named by
the names, sizes and times of the record files, and by the index version.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
import contextlib
import hashlib
import json
import os
from typing import Any, NamedTuple
import zipfile

import numpy as np

from semppl_jax.runtime import cache
from semppl_jax.runtime.errors import unreadable_file
from semppl_jax.runtime.files import atomic_write

IMAGE_KEYS = ('image', 'image/encoded')
LABEL_KEYS = ('label', 'image/class/label')
ID_KEYS = ('id', 'file_name', 'image/filename')
MASK_KEYS = ('mask',)
# Before the bytes of a record: their number (8) and its checksum.
HEADER = 12
FRAME = HEADER + 4  # After them, a checksum of their own.
_INDEX_VERSION = 2
# Of one shard: ids (empty if a record has none), labels, offsets and sizes.
Scan = tuple[list[bytes], np.ndarray, np.ndarray, np.ndarray]


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
  """Feature keys of a record; '' for a feature that it has not."""

  image: str
  label: str
  id: str
  mask: str


class RecordSource(NamedTuple):
  """Images in TFRecord shards.

  Attributes:
    shards: runs of records; their concatenation is the order of the source.
    lengths: records in each shard, int64 [shards].
    offsets: first byte of each record in its file, int64 [records].
    sizes: bytes of each record without its frame, int64 [records].
    keys: feature keys of the records.
    rows: records that are part of the source, ascending int64 [n].
  """

  shards: tuple[Shard, ...]
  lengths: np.ndarray
  offsets: np.ndarray
  sizes: np.ndarray
  keys: Keys
  rows: np.ndarray

  @property
  def has_masks(self) -> bool:
    """Returns True if the records carry a mask beside the image."""
    return bool(self.keys.mask)

  @property
  def mean_bytes(self) -> float:
    """Returns the mean size of a record."""
    return float(self.sizes.mean())

  def select(self, rows: np.ndarray) -> 'RecordSource':
    """Returns the source of `rows` (ascending int [m]) alone."""
    return self._replace(rows=self.rows[rows])

  def without_masks(self) -> 'RecordSource':
    """Returns the source of the same images, whose masks are not read."""
    return self._replace(keys=self.keys._replace(mask=''))

  def shard_of(self, rows: np.ndarray) -> np.ndarray:
    """Returns the shard of each record, int [m], of `rows` (int [m])."""
    return np.searchsorted(np.cumsum(self.lengths), rows, side='right')


class RecordIndex(NamedTuple):
  """A record source with the ids and labels of its records.

  Attributes:
    source: the records.
    ids: str [n].
    labels: int32 [n], -1 for an unlabelled image.
  """

  source: RecordSource
  ids: np.ndarray
  labels: np.ndarray


def make_index(
  shards: Sequence[Shard], keys: Keys, arrays: Mapping[str, np.ndarray]
) -> RecordIndex:
  """Returns the index of shards whose scans were joined by `join_scans`."""
  ids = np.char.decode(arrays['ids'], 'utf-8')
  source = RecordSource(
    shards=tuple(shards),
    lengths=arrays['lengths'],
    offsets=arrays['offsets'],
    sizes=arrays['sizes'],
    keys=keys,
    rows=np.arange(len(ids), dtype=np.int64),
  )
  return RecordIndex(source, ids, arrays['labels'])


def join_scans(scans: Iterable[Scan]) -> dict[str, np.ndarray]:
  """Joins the scans of shards; a record without an id gets `SHARD:ROW`."""
  ids, labels, offsets, sizes = zip(*scans, strict=True)
  all_ids = [
    name or f'{number}:{row}'.encode()
    for number, names in enumerate(ids)
    for row, name in enumerate(names)
  ]
  return {
    'ids': np.array(all_ids),
    'labels': np.concatenate(labels).astype(np.int32),
    'lengths': np.array([len(names) for names in ids], np.int64),
    'offsets': np.concatenate(offsets),
    'sizes': np.concatenate(sizes),
  }


def find_keys(features: Mapping[str, bool], where: str) -> Keys:
  """Returns the known keys of a record.

  Args:
    features: its keys, and True for a value of bytes, as an image must be.
    where: field and value, for messages.

  Raises:
    ValueError: it has no image.
  """
  usable = [
    key
    for key, is_bytes in features.items()
    if is_bytes or key not in IMAGE_KEYS
  ]
  keys = Keys(
    *(
      next((key for key in known if key in usable), '')
      for known in (IMAGE_KEYS, LABEL_KEYS, ID_KEYS, MASK_KEYS)
    )
  )
  if not keys.image:
    raise ValueError(
      f'{where}: the records have features {sorted(usable)}, and none of '
      f'{IMAGE_KEYS} with the bytes of an image.'
    )
  return keys


def load_or_scan(
  shards: Sequence[Shard],
  where: str,
  scan: Callable[[], dict[str, np.ndarray]],
) -> dict[str, np.ndarray]:
  """Returns the arrays of an index, from the cache or else from a scan.

  Args:
    shards: runs of records.
    where: field and value, for messages.
    scan: reads the shards and returns `join_scans` of them.

  Raises:
    ValueError: a file is missing.
  """
  from semppl_jax.data.tf.runtime import tf

  key: list[object] = [_INDEX_VERSION]
  for shard in shards:
    try:
      stat = tf.io.gfile.stat(shard.file)
    except tf.errors.OpError as error:
      raise unreadable_file(where, shard.file, error) from error
    key.append((*shard, stat.length, stat.mtime_nsec))
  digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()
  file = os.path.join(cache.cache_dir(), f'index_{digest[:32]}.npz')
  unreadable = OSError, ValueError, EOFError, zipfile.BadZipFile
  with contextlib.suppress(*unreadable), np.load(file) as content:
    return dict(content)
  arrays: dict[str, Any] = scan()
  # A cache that cannot be written costs a pass at the next start, no more.
  with contextlib.suppress(OSError):
    os.makedirs(os.path.dirname(file), exist_ok=True)
    with atomic_write(file) as temporary, temporary.open('wb') as stream:
      np.savez(stream, **arrays)
  return arrays
