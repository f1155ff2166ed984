"""Endless streams of undecoded blocks, from files and from records.

Both give rows to blocks in a way that depends on (seed, step) alone. Files
are opened in any order, so their order is a permutation per epoch. Records
are read front to back: R readers, a number that does not depend on the
process count, each pass over an equal share of the records; reader r gives
rows [r w, (r + 1) w) of each step, w = rows / R. A reader's epoch is its
pieces of files in a seeded order, then a seeded shuffle buffer. A process runs
only the readers of its own rows.

A resume finds the epoch by arithmetic. For files that is all. Records up to
the place in the epoch are read again, neither parsed nor decoded: at most one
pass over the share of this process's readers, at the speed of the disk, half
a pass on average. A reader whose images all fit twice into its part of the
shuffle buffer, as the few labelled ones of a large set, reads them once.
"""

from typing import Any, NamedTuple

import numpy as np

from semppl_jax.data.batch_layout import Stream
from semppl_jax.data.sources.files import FileSource
from semppl_jax.data.sources.tfrecord_index import RecordSource
from semppl_jax.data.sources.tfrecord_tf import records
from semppl_jax.data.tf.order import Order
from semppl_jax.data.tf.runtime import tf

MAX_READERS = 64
_FOREVER = np.iinfo(np.int64).max


def stream_blocks(
  source: FileSource | RecordSource,
  stream: Stream,
  blocks: range,
  *,
  seed: int,
  start_step: int,
  shuffle_gib: float,
) -> tf.data.Dataset:
  """Blocks of one stream: elements (content [n], index [n], step).

  Args:
    source: what reads the images.
    stream: which images, and how many per step.
    blocks: which blocks of each step this process needs.
    seed: seed of the run.
    start_step: the first step.
    shuffle_gib: GiB for the shuffle buffers of all readers together.
  """
  if isinstance(source, FileSource):
    return _file_blocks(source, stream, blocks, seed, start_step)
  return _record_blocks(source, stream, blocks, seed, start_step, shuffle_gib)


def listed_blocks(
  source: FileSource | RecordSource, indices: np.ndarray, block: int
) -> tf.data.Dataset:
  """Blocks of the images at `indices`, once and in that order.

  Args:
    source: what reads the images.
    indices: ascending positions, int32 [n]; then -1 up to a multiple of
      `block`, for which the content is empty.
    block: rows in a block.
  """
  count = int((indices >= 0).sum())
  padding = len(indices) - count
  if isinstance(source, FileSource):
    content = tf.constant(
      [*source.select(indices[:count]).full_paths()] + [''] * padding, tf.string
    )
    listed = tf.data.Dataset.from_tensor_slices((content, indices))
  else:
    empty = tf.data.Dataset.from_tensors(('', np.int32(-1))).repeat(padding)
    listed = empty
    if count:
      pieces = _pieces(source, indices[:count])
      order = tf.range(len(pieces.file))
      listed = _read(source, pieces, indices[:count], order).concatenate(empty)
  step = tf.constant(0, tf.int64)
  return listed.batch(block).map(lambda content, index: (content, index, step))


def _file_blocks(
  source: FileSource,
  stream: Stream,
  blocks: range,
  seed: int,
  start_step: int,
) -> tf.data.Dataset:
  order = Order(stream.population, stream.rows, seed, stream.number)
  paths = tf.constant(source.full_paths())
  rows = slice(blocks.start * stream.block, blocks.stop * stream.block)

  def images(step):
    # Python once per step, for the permutation; never per image.
    index = tf.numpy_function(
      lambda s: order.at(int(s))[rows].astype(np.int32), [step], tf.int32
    )
    index = tf.reshape(index, [len(blocks), stream.block])
    return tf.gather(paths, index), index, tf.fill([len(blocks)], step)

  return tf.data.Dataset.range(start_step, _FOREVER).map(images).unbatch()


def reader_count(files: int, rows: int, block: int) -> int:
  """Largest power of two that files, rows and `MAX_READERS` allow."""
  count = 1
  while (
    2 * count <= min(files, MAX_READERS) and rows % (2 * count * block) == 0
  ):
    count *= 2
  return count


def _record_blocks(
  source: RecordSource,
  stream: Stream,
  blocks: range,
  seed: int,
  start_step: int,
  shuffle_gib: float,
) -> tf.data.Dataset:
  files = len(_pieces(source, stream.population).file)
  readers = reader_count(files, stream.rows, stream.block)
  # Of one process as if it had all readers: what a reader shuffles may not
  # depend on the number of processes.
  buffer = int(shuffle_gib * 2**30 / source.mean_bytes / readers)
  each = stream.rows // stream.block // readers  # Blocks of a reader per step.
  datasets, choice = [], []
  for reader in range(blocks.start // each, -(-blocks.stop // each)):
    own = range(
      max(blocks.start - reader * each, 0),
      min(blocks.stop - reader * each, each),
    )
    share = np.array_split(stream.population, readers)[reader]
    dataset = _endless(
      source,
      share,
      key=(-seed - 1, (stream.number * MAX_READERS + reader) << 40),
      skip=start_step * each * stream.block,
      buffer=buffer,
    ).batch(stream.block)
    if len(own) < each:
      dataset = _only(dataset, own, each)
    choice += [len(datasets)] * len(own)
    datasets.append(dataset.prefetch(1))
  joined = tf.data.Dataset.choose_from_datasets(
    datasets,
    tf.data.Dataset.from_tensor_slices(np.array(choice, np.int64)).repeat(),
  )
  return joined.enumerate().map(
    lambda n, pair: (*pair, start_step + n // len(blocks))
  )


def _only(dataset: tf.data.Dataset, own: range, each: int) -> tf.data.Dataset:
  """Keeps the blocks `own` of every `each` consecutive ones."""

  def mine(n, _):
    return (n % each >= own.start) & (n % each < own.stop)

  numbered: Any = dataset.enumerate()
  return numbered.filter(mine).map(lambda _, block: block)


class _Pieces(NamedTuple):
  """Runs of records, one per file: see `Shard`; `first` in the source.

  `wanted` of the records of each belong to the images that were asked for.
  """

  file: np.ndarray
  skip: np.ndarray
  take: np.ndarray
  first: np.ndarray
  wanted: np.ndarray


def _pieces(source: RecordSource, indices: np.ndarray) -> _Pieces:
  """The parts of the shards from the first to the last image of `indices`."""
  rows = source.rows[indices]
  ends = np.cumsum(source.lengths)
  pieces = []
  for shard, end, length in zip(
    source.shards, ends, source.lengths, strict=True
  ):
    inside = rows[(rows >= end - length) & (rows < end)]
    if len(inside):
      first, last = inside[0], inside[-1]
      skip = shard.skip + first - (end - length)
      take = last - first + 1
      pieces.append((shard.file, skip, take, first, len(inside)))
  return _Pieces(*map(np.array, zip(*pieces, strict=True)))


def _read(
  source: RecordSource,
  pieces: _Pieces,
  indices: np.ndarray,
  order: tf.Tensor,
) -> tf.data.Dataset:
  """Elements (record, index) of the pieces, `indices` alone, undecoded."""
  # Of the records from the first piece to the last, the index or -1.
  start = pieces.first.min()
  table = np.full((pieces.first + pieces.take).max() - start, -1, np.int32)
  table[source.rows[indices] - start] = indices
  table = tf.constant(table)
  columns = [tf.constant(column) for column in pieces]

  def piece(number):
    file, skip, take, first, _ = (tf.gather(c, number) for c in columns)
    return records(file, skip, take).enumerate(first - start)

  def indexed(place, record):
    return record, tf.gather(table, place)

  files = tf.data.Dataset.from_tensor_slices(order)
  dataset: Any = files.flat_map(piece).map(indexed)
  if pieces.take.sum() == len(indices):
    return dataset
  return dataset.filter(lambda record, index: index >= 0)


def _endless(
  source: RecordSource,
  share: np.ndarray,
  key: tuple[int, int],
  skip: int,
  buffer: int,
) -> tf.data.Dataset:
  """Epoch after epoch of one reader's share, from record `skip` of them.

  The order is the same, whether they are read once or in every epoch.
  """
  pieces = _pieces(source, share)
  count = len(pieces.file)

  def epoch(number, read):
    seeds = tf.random.stateless_uniform(
      [2],
      tf.stack([tf.constant(key[0], tf.int64), key[1] + number]),
      minval=tf.int64.min,
      maxval=tf.int64.max,
      dtype=tf.int64,
    )
    order = tf.argsort(tf.random.stateless_uniform([count], seeds))
    return read(order).shuffle(
      max(min(buffer, len(share)), 1),
      seeds[0],
      reshuffle_each_iteration=False,
    )

  def epochs(read):
    numbers = tf.data.Dataset.range(skip // len(share), _FOREVER)
    return numbers.flat_map(lambda number: epoch(number, read))

  def again(order):
    return _read(source, pieces, share, order)

  def once(record, index):
    # Shuffled by their places: the records are in memory once.
    return epochs(lambda order: _places(pieces, order)).map(
      lambda place: (tf.gather(record, place), tf.gather(index, place))
    )

  if 2 * len(share) <= buffer:
    whole: Any = again(tf.range(count)).batch(len(share))
    endless = whole.flat_map(once)
  else:
    endless = epochs(again)
  return endless.skip(skip % len(share))


def _places(pieces: _Pieces, order: tf.Tensor) -> tf.data.Dataset:
  """Where what `_read` gives in an order is in what it gives in the first."""
  ragged: Any = tf.RaggedTensor
  every = tf.range(pieces.wanted.sum())
  places = tf.gather(ragged.from_row_lengths(every, pieces.wanted), order)
  return tf.data.Dataset.from_tensor_slices(places.flat_values)
