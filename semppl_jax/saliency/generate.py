"""Generates the masks of a data set, a file per shard, in parallel.

A file depends on its shard alone, and is written atomically: a restarted
program makes the missing files, and neither that nor the number of workers
changes a byte.
"""

from collections.abc import Iterator, Sequence
import logging
import os

from ml_collections import ConfigDict

from semppl_jax.config import loading
from semppl_jax.data import masks
from semppl_jax.data.dataset import Dataset
from semppl_jax.data.masks import Maker, StoreInfo
from semppl_jax.runtime import worker_pool
from semppl_jax.runtime.errors import count_and_names
from semppl_jax.saliency import mask_fn, shards as shards_lib
from semppl_jax.saliency.shards import ImageShard, ShardCounts

_log = logging.getLogger(__name__)


def data_config(place: str) -> ConfigDict:
  """Returns the `config.data` of `--data`.

  Args:
    place: a folder, a glob of TFRecord files, `tfds:NAME` (train split, in the
      folder of tensorflow_datasets) or `embedded`.
  """
  config = loading.copy(loading.base()).data
  config.update(name='', test_split='', labels='all')
  if place == 'embedded':
    config.kind = place
  elif place.startswith('tfds:'):
    config.update(kind='tfds', name=place.removeprefix('tfds:'))
  elif os.path.isdir(os.path.expanduser(place)):
    config.update(kind='folder', path=place)
  else:
    config.update(kind='tfrecord', path=place)
  return config


def data_name(config: ConfigDict) -> str:
  """Returns a name for the images of `config.data`."""
  if config.kind == 'tfds':
    return f'{config.name}/{config.train_split}'
  return config.kind if config.kind == 'embedded' else config.path


def begin(folder: str, data: Dataset, name: str, maker: Maker) -> StoreInfo:
  """Begins a store, or continues it.

  Args:
    folder: the store.
    data: the images.
    name: name of the data set.
    maker: from `mask_fn`.

  Returns:
    Its `masks.json`, with counts if it is finished.

  Raises:
    ValueError: it holds masks of another data set or by another maker.
  """
  from semppl_jax.saliency import mask_store

  where = f'--out={folder}'
  info = StoreInfo(name, data.size, masks.fingerprint(data.ids), maker)
  saved = masks.read_info(folder, where)
  if saved is None:
    mask_store.write_info(folder, info)
    return info
  if (saved.images, saved.ids) != (info.images, info.ids):
    raise ValueError(
      f'{where} holds masks of other images: {saved.images} of {saved.data},'
      f' not the {info.images} of {name}; name another folder.'
    )
  if not mask_fn.is_same(saved.maker, maker):
    raise ValueError(
      f'{where} holds masks made by {saved.maker}, not by {maker}; name another'
      ' folder.'
    )
  return saved._replace(maker=maker)


def make_all(
  shards: Sequence[ImageShard], maker: Maker, workers: int
) -> list[ShardCounts]:
  """Makes the missing files of all shards and returns their counts, in order.

  Args:
    shards: from `shards.split_dataset`.
    maker: from `mask_fn`.
    workers: processes; 1: this one alone.

  Raises:
    ValueError: a record file has changed since it was indexed.
    worker_pool.WorkerError: a worker was ended, as when memory is short.
  """
  work = [(shard, maker) for shard in shards]
  sizes = [len(shard.ids) for shard in shards]
  return worker_pool.run(make_file, work, sizes, workers)


def make_file(shard: ImageShard, maker: Maker) -> ShardCounts:
  """Makes the file of a shard, unless it is complete."""
  import threadpoolctl

  from semppl_jax.saliency import mask_store

  counts = mask_store.count_shard(shard.file)
  if counts is None or not set(counts.ids) <= set(shard.ids):
    # Sums of several threads may be rounded differently.
    with threadpoolctl.threadpool_limits(1):
      mask_store.write_shard(shard.file, _masks(shard, maker))
    counts = mask_store.count_shard(shard.file)
  if counts is None:
    raise OSError(f'{shard.file!r} differs from what was written')
  return counts


def finish(
  folder: str, info: StoreInfo, counts: Sequence[ShardCounts]
) -> StoreInfo:
  """Writes and returns `masks.json` with the counts of a finished store.

  Args:
    folder: the store.
    info: from `begin`.
    counts: of all shards, in their order.
  """
  from semppl_jax.saliency import mask_store

  info = info._replace(counts=mask_store.total(counts))
  mask_store.write_info(folder, info)
  return info


def describe(info: StoreInfo) -> str:
  """Describes a finished store in one line."""
  counts = info.counts
  assert counts is not None
  return (
    f'{counts.masks:,} masks of {info.images:,} images, mean coverage'
    f' {counts.mean_coverage:.1%}; {counts.background:,} all background and'
    f' {counts.foreground:,} all foreground, which are not applied;'
    f' {info.images - counts.masks:,} images could not be read'
  )


def _masks(shard: ImageShard, maker: Maker) -> Iterator[tuple[str, bytes]]:
  from semppl_jax.saliency import mask_store

  mask_of = mask_fn.make_mask_fn(maker)
  unreadable = []
  for name, image in zip(shard.ids, shards_lib.read_images(shard), strict=True):
    if image is None:
      unreadable.append(name)
    else:
      yield name, mask_store.png(mask_of(image))
  if unreadable:
    names = count_and_names('unreadable image(s)', unreadable)
    _log.warning('Skipped %s.', names)
