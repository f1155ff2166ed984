"""Masks for a whole data set, file by file, by this process or by several.

A file is made from its piece alone, and is there once it is whole: a program
that was stopped goes on with those that are not there, and neither that nor the
number of workers changes a byte.
"""

from collections.abc import Iterator, Sequence
import logging
from typing import Any, NamedTuple

from semppl_jax.data.dataset import Dataset
from semppl_jax.runtime import worker_pool as worker_pool_lib
from semppl_jax.runtime.errors import count_and_names
from semppl_jax.saliency import mask_fn, shards as shards_lib
from semppl_jax.saliency.mask_fn import Maker
from semppl_jax.saliency.shards import Piece

_log = logging.getLogger(__name__)


class Result(NamedTuple):
  """What became of a piece.

  Attributes:
    tally: what its file holds, `mask_store.Tally`.
    unreadable: ids of the images without a mask.
  """

  tally: Any
  unreadable: tuple[str, ...]


def begin(folder: str, data: Dataset, name: str, maker: Maker) -> Any:
  """Writes whose masks a store will hold, or finds that it holds them.

  Args:
    folder: the store.
    data: the images.
    name: what they are called, for people.
    maker: what makes a mask.

  Returns:
    Its `masks.StoreInfo`, with counts where it is finished.

  Raises:
    ValueError: it holds masks of another data set or by another maker.
  """
  from semppl_jax.data import masks
  from semppl_jax.saliency import mask_store

  where = f'--out={folder}'
  ids = masks.fingerprint(data.ids)
  facts = masks.StoreInfo(name, data.size, ids, maker)
  found = masks.read_info(folder, where)
  if found is None:
    mask_store.write(folder, facts)
    return facts
  if (found.images, found.ids) != (facts.images, facts.ids):
    raise ValueError(
      f'{where} holds masks of other images: {found.images} of {found.data},'
      f' not the {facts.images} of {name}; name another folder.'
    )
  if not mask_fn.same(found.maker, maker):
    raise ValueError(
      f'{where} holds masks made by {found.maker}, not by {maker}; name another'
      ' folder.'
    )
  return found._replace(maker=maker)


def make_all(
  pieces: Sequence[Piece], maker: Maker, workers: int
) -> list[Result]:
  """Makes the files of all pieces that are not there, in their order.

  Args:
    pieces: from `shards.cut`.
    maker: what makes a mask.
    workers: processes; 1: this one alone.

  Raises:
    ValueError: a record file has changed since it was indexed.
    worker_pool.WorkerError: a worker was ended, as when memory is short.
  """
  work = [(piece, maker) for piece in pieces]
  sizes = [len(piece.ids) for piece in pieces]
  return worker_pool_lib.run(make_file, work, sizes, workers)


def make_file(piece: Piece, maker: Maker) -> Result:
  """Makes the file of a piece, unless a whole one is there."""
  import threadpoolctl

  from semppl_jax.saliency import mask_store

  found = mask_store.tally(piece.file)
  if found is None or not set(found.ids) <= set(piece.ids):
    # Sums of several threads may be rounded otherwise.
    with threadpoolctl.threadpool_limits(1):
      mask_store.write_shard(piece.file, _masks(piece, maker))
    found = mask_store.tally(piece.file)
  if found is None:
    raise OSError(f'{piece.file!r} is not as it was written')
  have = set(found.ids)
  return Result(found, tuple(x for x in piece.ids if x not in have))


def finish(folder: str, facts: Any, results: Sequence[Result]) -> Any:
  """Writes what a store holds and returns it, as `masks.StoreInfo`.

  Args:
    folder: the store.
    facts: from `begin`.
    results: of all pieces, in their order.
  """
  from semppl_jax.saliency import mask_store

  counts = mask_store.add([result.tally for result in results])
  facts = facts._replace(counts=counts)
  mask_store.write(folder, facts)
  return facts


def describe(facts: Any) -> str:
  """Says in one line what a finished store holds."""
  counts = facts.counts
  return (
    f'{counts.masks:,} masks of {facts.images:,} images, mean coverage'
    f' {counts.mean_coverage:.1%}; {counts.background:,} all background and'
    f' {counts.foreground:,} all foreground, which are not applied;'
    f' {facts.images - counts.masks:,} images could not be read'
  )


def _masks(piece: Piece, maker: Maker) -> Iterator[tuple[str, bytes]]:
  from semppl_jax.saliency import mask_store

  mask_of = mask_fn.make(maker)
  unreadable = []
  for name, image in zip(piece.ids, shards_lib.images(piece), strict=True):
    if image is None:
      unreadable.append(name)
    else:
      yield name, mask_store.png(mask_of(image))
  if unreadable:
    _log.warning('Skipped %s.', count_and_names('unreadable image(s)', unreadable))
