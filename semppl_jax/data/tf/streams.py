"""Streams of undecoded blocks of images, from files and from TFRecords.

The assignment of images to rows depends on (seed, step) alone. Files can be
opened in any order, so their order is a permutation per epoch. TFRecords are
read sequentially by R readers, a number independent of the process count, each
over an equal share of the records; reader r provides rows [r w, (r + 1) w) of
each step, w = rows / R. A reader's epoch is its pieces of files in a seeded
order, then a seeded shuffle buffer. A process runs only the readers of its own
rows.

A resumed run finds its epoch by arithmetic. For files that is all. Records up
to the position in the epoch are read again, but neither parsed nor decoded: at
most one pass over the share of this process's readers. A reader whose images
fit twice into its part of the shuffle buffer reads them once.
"""

from collections.abc import Callable
import functools
from typing import Any, NamedTuple

import numpy as np

from semppl_jax.data.batch_layout import Stream
from semppl_jax.data.sources.folder import FileSource
from semppl_jax.data.sources.tfrecord_index import RecordSource
from semppl_jax.data.sources.tfrecord_tf import read_records, records
from semppl_jax.data.support_set import SupportRows
from semppl_jax.data.tf.runtime import python_strings, tf

MAX_READERS = 64
Source = FileSource | RecordSource


def train_blocks(
  source: Source,
  stream: Stream,
  blocks: range,
  *,
  seed: int,
  start_step: int,
  shuffle_gib: float,
) -> tf.data.Dataset:
  """Returns endless blocks of one stream: (content [n], index [n], step).

  Args:
    source: reader of the images.
    stream: the images, and their rows per step.
    blocks: blocks of each step that this process needs.
    seed: seed of the run.
    start_step: the first step.
    shuffle_gib: GiB for the shuffle buffers of all R readers together.
  """
  if isinstance(source, FileSource):
    return _file_blocks(source, stream, blocks, seed, start_step)
  return _record_blocks(source, stream, blocks, seed, start_step, shuffle_gib)


def eval_blocks(
  source: Source, indices: np.ndarray, block: int
) -> tf.data.Dataset:
  """Returns blocks of the images at `indices`, once and in that order.

  `indices` are ascending positions, int32 [n], then -1 up to a multiple of
  `block`, for which the content is empty.
  """
  count = int((indices >= 0).sum())
  padding = len(indices) - count
  if isinstance(source, FileSource):
    paths = [*source.select(indices[:count]).full_paths(), *[''] * padding]
    listed = tf.data.Dataset.from_tensor_slices(
      (tf.constant(paths, tf.string), indices)
    )
  else:
    listed = tf.data.Dataset.from_tensors(('', np.int32(-1))).repeat(padding)
    if count:
      pieces = _pieces(source, indices[:count])
      order = tf.range(len(pieces.file))
      listed = _read(source, pieces, indices[:count], order).concatenate(listed)
  step = tf.constant(0, tf.int64)
  return listed.batch(block).map(lambda content, index: (content, index, step))


def support_blocks(
  source: Source,
  rows: SupportRows,
  start_step: int,
  failures: list[Exception],
) -> tf.data.Dataset:
  """Returns endless blocks of support rows: (content [n], slot [n], step).

  `failures` receives the error of a file that cannot be read.
  """
  block, blocks = rows.stream.block, rows.share.blocks
  slots = np.arange(blocks.start * block, blocks.stop * block, dtype=np.int32)
  shape = (len(blocks), block)

  def read(step):
    images = rows.sampler.at(int(step))[slots]
    if isinstance(source, FileSource):
      return source.select(images).full_paths()
    return read_records(source, images)

  def of_step(step):
    # Python once per step; its slow parts release Python's lock.
    content = tf.reshape(python_strings(read, [step], failures), shape)
    return content, tf.constant(slots.reshape(shape)), tf.fill(shape[:1], step)

  steps = tf.data.Dataset.counter(start_step).map(of_step)
  # One step ahead, so that reading goes on while the last one is decoded.
  return steps.prefetch(1).unbatch()


def file_order(stream: Stream, seed: int) -> Callable[[int], np.ndarray]:
  """Returns a function from a step to its images, int32 [rows].

  Every epoch is a new permutation of the population; batches straddle epochs.
  """
  size, rows = len(stream.population), stream.rows

  @functools.lru_cache(maxsize=2)
  def permuted(epoch: int) -> np.ndarray:
    rng = np.random.default_rng([seed, stream.number, epoch])
    return rng.permutation(stream.population)

  def images(step: int) -> np.ndarray:
    positions = np.arange(step * rows, (step + 1) * rows)
    epochs = positions // size
    return np.concatenate(
      [
        permuted(int(epoch))[positions[epochs == epoch] % size]
        for epoch in np.unique(epochs)
      ]
    )

  return images


def _file_blocks(
  source: FileSource,
  stream: Stream,
  blocks: range,
  seed: int,
  start_step: int,
) -> tf.data.Dataset:
  order = file_order(stream, seed)
  paths = tf.constant(source.full_paths())
  rows = slice(blocks.start * stream.block, blocks.stop * stream.block)

  def of_step(step):
    # Python once per step, for the permutation; never per image.
    index = tf.numpy_function(
      lambda s: order(int(s))[rows].astype(np.int32), [step], tf.int32
    )
    index = tf.reshape(index, [len(blocks), stream.block])
    return tf.gather(paths, index), index, tf.fill([len(blocks)], step)

  return tf.data.Dataset.counter(start_step).map(of_step).unbatch()


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
  # As if one process had all readers: the shuffle of a reader must not depend
  # on the number of processes.
  buffer = int(shuffle_gib * 2**30 / source.mean_bytes / readers)
  each = stream.rows // stream.block // readers  # Blocks of a reader per step.
  datasets, choice = [], []
  for reader in range(blocks.start // each, -(-blocks.stop // each)):
    own = range(
      max(blocks.start - reader * each, 0),
      min(blocks.stop - reader * each, each),
    )
    dataset = _endless(
      source,
      np.array_split(stream.population, readers)[reader],
      key=(-seed - 1, (stream.number * MAX_READERS + reader) << 40),
      skip=start_step * each * stream.block,
      buffer=buffer,
    ).batch(stream.block)
    if len(own) < each:
      dataset = _select_blocks(dataset, own, each)
    choice += [len(datasets)] * len(own)
    datasets.append(dataset.prefetch(1))
  joined = tf.data.Dataset.choose_from_datasets(
    datasets,
    tf.data.Dataset.from_tensor_slices(np.array(choice, np.int64)).repeat(),
  )
  return joined.enumerate().map(
    lambda n, pair: (*pair, start_step + n // len(blocks))
  )


def reader_count(files: int, rows: int, block: int) -> int:
  """Returns the largest power of two for files, rows and `MAX_READERS`."""
  count = 1
  while (
    2 * count <= min(files, MAX_READERS) and rows % (2 * count * block) == 0
  ):
    count *= 2
  return count


def _select_blocks(
  dataset: tf.data.Dataset, own: range, each: int
) -> tf.data.Dataset:
  """Keeps the blocks `own` of every `each` consecutive ones."""

  def is_own(n, _):
    return (n % each >= own.start) & (n % each < own.stop)

  numbered: Any = dataset.enumerate()
  return numbered.filter(is_own).map(lambda _, block: block)


class _Pieces(NamedTuple):
  """Runs of records, one per file, as `Shard`; `first` is a source position.

  `wanted` counts the records of each run that belong to requested images.
  """

  file: np.ndarray
  skip: np.ndarray
  take: np.ndarray
  first: np.ndarray
  wanted: np.ndarray


def _pieces(source: RecordSource, indices: np.ndarray) -> _Pieces:
  """Returns the parts of shards from the first to the last requested image."""
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
  """Returns elements (record, index) of the pieces, only those of `indices`."""
  # From the first piece to the last, the index of each record or -1.
  start = pieces.first.min()
  table = np.full((pieces.first + pieces.take).max() - start, -1, np.int32)
  table[source.rows[indices] - start] = indices
  table = tf.constant(table)
  columns = [tf.constant(column) for column in pieces]

  def piece(number):
    file, skip, take, first, _ = (tf.gather(c, number) for c in columns)
    return records(file, skip, take).enumerate(first - start)

  def indexed(position, record):
    return record, tf.gather(table, position)

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
  """Returns epoch after epoch of one reader's share, from record `skip` on.

  The order is the same whether records are read once or in every epoch.
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
    numbers = tf.data.Dataset.counter(skip // len(share))
    return numbers.flat_map(lambda number: epoch(number, read))

  def from_disk(order):
    return _read(source, pieces, share, order)

  def from_memory(record, index):
    # Positions are shuffled: the records are in memory only once.
    return epochs(lambda order: _positions(pieces, order)).map(
      lambda place: (tf.gather(record, place), tf.gather(index, place))
    )

  if 2 * len(share) <= buffer:
    whole: Any = from_disk(tf.range(count)).batch(len(share))
    endless = whole.flat_map(from_memory)
  else:
    endless = epochs(from_disk)
  return endless.skip(skip % len(share))


def _positions(pieces: _Pieces, order: tf.Tensor) -> tf.data.Dataset:
  """Returns the positions, in unpermuted pieces, of records read in `order`."""
  every = tf.range(pieces.wanted.sum())
  ragged_type: Any = tf.RaggedTensor
  ragged = ragged_type.from_row_lengths(every, pieces.wanted)
  return tf.data.Dataset.from_tensor_slices(
    tf.gather(ragged, order).flat_values
  )
