"""Saliency masks in a store of their own, looked up by image id.

`semppl_jax.saliency` makes a store: files of masks, and `masks.json` with their
origin and number. Reading it needs no TensorFlow where the data needs none.
"""

from collections.abc import Mapping, Sequence
import hashlib
import json
import os
from typing import Any, NamedTuple

from ml_collections import ConfigDict
import numpy as np

from semppl_jax.data import dataset
from semppl_jax.data.dataset import Dataset, Splits
from semppl_jax.data.sources.tfrecord_index import Keys, RecordSource, Shard
from semppl_jax.runtime import files

INFO_FILE = 'masks.json'
KEYS = Keys(image='mask', label='', id='id', mask='')
FORMAT = 1
_SHARDS, _SMALLEST, _LARGEST = 64, 16, 1024
# A detector or network, with its settings and version; see `saliency.mask_fn`.
Maker = Mapping[str, Any]
_PROGRAM = 'python -m semppl_jax.saliency'


class StoreCounts(NamedTuple):
  """Content of a finished store.

  Attributes:
    masks: images that have a mask.
    background: masks without foreground; they are not applied.
    foreground: masks without background; they are not applied either.
    mean_coverage: share of foreground, mean over the masks, in [0, 1].
    checksum: SHA-256 over all records.
  """

  masks: int
  background: int
  foreground: int
  mean_coverage: float
  checksum: str


class StoreInfo(NamedTuple):
  """Content of `masks.json`.

  Attributes:
    data: name of the data set.
    images: number of its images n.
    ids: `fingerprint` of their ids.
    maker: origin of the masks.
    counts: counts of a finished store, else None.
  """

  data: str
  images: int
  ids: str
  maker: Maker
  counts: StoreCounts | None = None


class MaskIndex(NamedTuple):
  """Places of the masks of the images of a split.

  Attributes:
    folder: the store.
    info: content of its `masks.json`.
    counts: `info.counts`.
    source: its records.
    place: record of each image's mask, int64 [n], -1 for an image without one.
  """

  folder: str
  info: StoreInfo
  counts: StoreCounts
  source: RecordSource
  place: np.ndarray

  @property
  def checksum(self) -> str:
    """Returns the SHA-256 over the records of the store."""
    return self.counts.checksum

  @property
  def covered(self) -> int:
    """Returns the number of images that have a mask."""
    return int((self.place >= 0).sum())

  def select(self, rows: np.ndarray) -> 'MaskIndex':
    """Returns the masks of `rows` (ascending int [m]) alone."""
    return self._replace(place=self.place[rows])


def fingerprint(ids: Sequence[str] | np.ndarray) -> str:
  """Returns the SHA-256 of ids, in order."""
  return hashlib.sha256('\n'.join(map(str, ids)).encode()).hexdigest()


def shard_ranges(images: int) -> list[range]:
  """Returns the images of each file: 64 files, of 16 to 1,024 images each."""
  size = min(max(-(-images // _SHARDS), _SMALLEST), _LARGEST)
  return [
    range(first, min(first + size, images)) for first in range(0, images, size)
  ]


def shard_file(folder: str, images: int, number: int) -> str:
  """Returns the file of the masks of `shard_ranges(images)[number]`."""
  count = len(shard_ranges(images))
  return os.path.join(folder, f'masks-{number:05d}-of-{count:05d}.tfrecord')


def store_shards(folder: str, images: int) -> list[Shard]:
  """Returns all files of the masks of a number of images, in order."""
  count = len(shard_ranges(images))
  return [Shard(shard_file(folder, images, number)) for number in range(count)]


def read_info(folder: str, where: str) -> StoreInfo | None:
  """Reads `masks.json`; returns None where there is none.

  Args:
    folder: the store.
    where: field or flag and value, for messages.

  Raises:
    ValueError: it cannot be read, or is of another format.
  """
  path = os.path.join(folder, INFO_FILE)
  try:
    content = json.loads(files.path(path).read_text(encoding='utf-8'))
  except FileNotFoundError:
    return None
  # Each file system has errors of its own.
  except Exception as error:
    raise ValueError(f'{where}: {path!r} cannot be read: {error}.') from error
  try:
    version = content.pop('format')
    if version != FORMAT:
      raise ValueError(
        f'{where}: {INFO_FILE} is of format {version}, and this program reads'
        f' format {FORMAT}.'
      )
    counts = content.pop('counts')
    return StoreInfo(**content, counts=counts and StoreCounts(**counts))
  except (KeyError, TypeError, AttributeError) as error:
    raise ValueError(f'{where}: {path!r} cannot be read: {error}.') from error


def load(config: ConfigDict) -> Splits:
  """Indexes the data, and the masks of its train images.

  If no view is masked, `config.data.saliency` is not read.

  Args:
    config: the whole config.

  Raises:
    ValueError: as `dataset.load`; or the store is missing, unfinished, damaged,
      or of another data set.
  """
  folder = os.path.expanduser(config.data.saliency)
  if not folder or not config.saliency.probability:
    return dataset.load(config.data)
  where = f'config.data.saliency={config.data.saliency!r}'
  # Before the data, whose indexing may take a while.
  info = read_info(folder, where)
  if info is None:
    raise ValueError(
      f'{where} has no {INFO_FILE}, so it is not a folder of masks; {_PROGRAM}'
      ' makes one.'
    )
  if info.counts is None:
    raise ValueError(
      f'{where} is not finished; the same {_PROGRAM} continues it.'
    )
  if not info.counts.masks:
    raise ValueError(f'{where} holds no masks.')
  splits = dataset.load(config.data)
  index = _index_masks(config.data, folder, info, splits.train, where)
  return splits._replace(train=splits.train._replace(masks=index))


def describe(config: ConfigDict, train: Dataset) -> str:
  """Describes the masks of a run, without a full stop.

  Args:
    config: the whole config.
    train: the train set, from `load`.
  """
  own = train.source.has_masks
  if not own and not config.data.saliency:
    return 'none (no view is masked)'
  chance = config.saliency.probability
  if not chance:
    return 'not read, as config.saliency.probability=0 (no view is masked)'
  masked = f'a large view is masked with chance {chance}'
  if train.masks is None:
    return f'those in the records; {masked}'
  info, counts = train.masks.info, train.masks.counts
  maker = ', '.join(f'{k} {v}' for k, v in info.maker.items())
  blank = counts.background + counts.foreground
  parts = [
    f'{train.masks.covered:,} of {train.size:,} images have one'
    f' ({train.masks.folder}: {maker}, for {info.data})',
    masked,
  ]
  if blank:
    parts.append(f'{blank:,} of the store are blank and not applied')
  if own:
    parts.append('those in the records are not used')
  return '; '.join(parts)


def _index_masks(
  config: ConfigDict, folder: str, info: StoreInfo, train: Dataset, where: str
) -> MaskIndex:
  assert info.counts is not None
  source, ids, _ = dataset.indexer(config)(
    store_shards(folder, info.images), where, KEYS
  )
  if len(ids) != info.counts.masks:
    raise ValueError(
      f'{where} holds {len(ids)} masks, and {INFO_FILE} says'
      f' {info.counts.masks}; make it again.'
    )
  order = np.argsort(ids)
  at = np.minimum(np.searchsorted(ids, train.ids, sorter=order), len(ids) - 1)
  place = np.where(ids[order][at] == train.ids, order[at], -1)
  common = int((place >= 0).sum())
  # Either may hold more than the other: images were added, or a run takes a
  # part of them. A few ids of another data set may be equal.
  if 2 * common < min(len(ids), train.size):
    raise ValueError(
      f'{where} holds masks of another data set ({info.data}): {common} of its'
      f' {len(ids)} are of images among the {train.size} of {train.name!r}.'
    )
  return MaskIndex(folder, info, info.counts, source, place)
