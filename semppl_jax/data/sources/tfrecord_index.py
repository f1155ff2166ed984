"""Images in TFRecord files: where they are. Reading them is for others."""

from typing import NamedTuple

import numpy as np

IMAGE_KEYS = ('image', 'image/encoded')
LABEL_KEYS = ('label', 'image/class/label')
ID_KEYS = ('id', 'file_name', 'image/filename')
MASK_KEYS = ('mask',)
# Before the bytes of a record: their number (8) and its checksum.
HEADER = 12
FRAME = HEADER + 4  # After them, a checksum of their own.


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

  def without_masks(self) -> 'RecordSource':
    """Returns the source of the same images, whose masks are not read."""
    return self._replace(keys=self.keys._replace(mask=''))


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


def make_index(shards, keys: Keys, found: dict[str, np.ndarray]) -> RecordIndex:
  """Puts together what a pass over all records found.

  Args:
    shards: the runs of records.
    keys: where the features are.
    found: `ids` (bytes, empty where there is none), `labels`, `lengths`,
      `offsets` and `sizes`.
  """
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


def joined(scans) -> dict[str, np.ndarray]:
  """Joins ids, labels, offsets and sizes of the shards; names what has none."""
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


def find_keys(present, where: str) -> Keys:
  """Returns which of the known features a record has.

  Raises:
    ValueError: it has no image.
  """
  keys = Keys(
    *(
      next((key for key in wanted if key in present), '')
      for wanted in (IMAGE_KEYS, LABEL_KEYS, ID_KEYS, MASK_KEYS)
    )
  )
  if not keys.image:
    raise ValueError(
      f'{where}: the records have features {sorted(present)}, and none of '
      f'{IMAGE_KEYS} with the bytes of an image.'
    )
  return keys
