"""Masks of a data set that lie in a store of their own, found by image id."""

import os
from typing import Any, NamedTuple

from ml_collections import ConfigDict
import numpy as np

from semppl_jax.data import dataset, mask_facts
from semppl_jax.data.dataset import Dataset, Splits

_MAKE = 'python -m semppl_jax.saliency'


class Masks(NamedTuple):
  """Where the masks of the images of a split are.

  Attributes:
    folder: the store.
    facts: what it says of itself, `mask_facts.Facts`.
    source: its records, a `RecordSource`.
    place: record of each image's mask, int64 [n], -1 where there is none.
  """

  folder: str
  facts: Any
  source: Any
  place: np.ndarray

  @property
  def checksum(self) -> str:
    """SHA-256 over the records of the store."""
    return self.facts.counts.checksum

  @property
  def covered(self) -> int:
    """Images that have a mask."""
    return int((self.place >= 0).sum())

  def select(self, rows: np.ndarray) -> 'Masks':
    """Returns the masks of `rows` (ascending int [m]) alone."""
    return self._replace(place=self.place[rows])


def load(config: ConfigDict) -> Splits:
  """Indexes the data, and the masks of its train images.

  Where no view is masked, `config.data.saliency` is not looked at.

  Args:
    config: the whole config.

  Raises:
    ValueError: as `dataset.load`; or the store is absent, unfinished, damaged,
      or of another data set.
  """
  folder = os.path.expanduser(config.data.saliency)
  if not folder or not config.saliency.probability:
    return dataset.load(config.data)
  where = f'config.data.saliency={config.data.saliency!r}'
  # Before the data, whose indexing may take a while.
  facts = _finished(folder, where)
  splits = dataset.load(config.data)
  masks = _found(config, folder, facts, splits.train, where)
  return splits._replace(train=splits.train._replace(masks=masks))


def describe(config: ConfigDict, train: Dataset) -> str:
  """Says which masks a run has, without a full stop.

  Args:
    config: the whole config.
    train: the train set, from `load`.
  """
  own = train.source.has_masks
  if not own and not config.data.saliency:
    return 'none: no view is masked'
  chance = config.saliency.probability
  if not chance:
    return 'not read, as config.saliency.probability=0: no view is masked'
  if train.masks is None:
    return f'those in the records; a large view is masked with chance {chance}'
  facts = train.masks.facts
  made_by = ', '.join(f'{k} {v}' for k, v in facts.maker.items())
  blank = facts.counts.background + facts.counts.foreground
  parts = [
    f'{train.masks.covered:,} of {train.size:,} images have one'
    f' ({train.masks.folder}: {made_by}, for {facts.data})',
    f'a large view is masked with chance {chance}',
  ]
  if blank:
    parts.append(f'{blank:,} of the store are blank and not applied')
  if own:
    parts.append('those in the records are not used')
  return '; '.join(parts)


def _finished(folder: str, where: str) -> Any:
  facts = mask_facts.read(folder, where)
  if facts is None:
    raise ValueError(
      f'{where} is no folder of masks, which has a {mask_facts.FILE}; {_MAKE}'
      ' makes one.'
    )
  if facts.counts is None:
    raise ValueError(f'{where} is not finished; the same {_MAKE} goes on.')
  if not facts.counts.masks:
    raise ValueError(f'{where} holds no masks.')
  return facts


def _found(
  config: ConfigDict,
  folder: str,
  facts: Any,
  train: Dataset,
  where: str,
) -> Masks:
  index_records = dataset.indexer(config.data)
  source, ids, _ = index_records(
    mask_facts.shards(folder, facts.images), where, mask_facts.KEYS
  )
  if len(ids) != facts.counts.masks:
    raise ValueError(
      f'{where} holds {len(ids)} masks, and {mask_facts.FILE} says'
      f' {facts.counts.masks}; make it anew.'
    )
  order = np.argsort(ids)
  at = np.minimum(np.searchsorted(ids, train.ids, sorter=order), len(ids) - 1)
  place = np.where(ids[order][at] == train.ids, order[at], -1)
  common = int((place >= 0).sum())
  # Either may hold more than the other: images were added, or a run takes a
  # part of them. Of another data set, a few may be called alike.
  if 2 * common < min(len(ids), train.size):
    raise ValueError(
      f'{where} holds masks of another data set ({facts.data}): {common} of its'
      f' {len(ids)} are of images among the {train.size} of {train.name!r}.'
    )
  return Masks(folder, facts, source, place.astype(np.int64))
