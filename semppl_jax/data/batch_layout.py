"""Layout of the global batch: rows of each stream, and the process of each row.

The layout does not depend on the number of processes; `share` then selects the
part of one process.
"""

from typing import NamedTuple

import numpy as np

BLOCK = 8  # Rows decoded together, at least.


class Stream(NamedTuple):
  """Rows of every step that are sampled from one set of images.

  Attributes:
    population: positions of the images in the train set, ascending int32 [n].
    positions: rows of the stream in the global batch, ascending int [rows].
    number: seed of the stream within a run.
  """

  population: np.ndarray
  positions: np.ndarray
  number: int

  @property
  def rows(self) -> int:
    """Number of rows per step, over all processes."""
    return len(self.positions)

  @property
  def block(self) -> int:
    """Number of rows of a block."""
    return block_size(self.rows)


class Share(NamedTuple):
  """Part of a stream that one process loads.

  Attributes:
    blocks: blocks of each step that contain its rows.
    keep: its rows among those of the blocks.
    positions: their rows in its part of the batch, int [own rows].
  """

  blocks: range
  keep: slice
  positions: np.ndarray


def block_size(rows: int) -> int:
  """Returns the smallest divisor of `rows` from `BLOCK` on, or `rows`."""
  return next((n for n in range(BLOCK, rows) if rows % n == 0), rows)


def streams(
  batch_size: int, labelled_per_batch: int, labelled: np.ndarray
) -> list[Stream]:
  """Returns one stream of all images, or one labelled and one unlabelled.

  Args:
    batch_size: rows of the global batch B.
    labelled_per_batch: labelled rows per batch; 0 samples from all images.
    labelled: True where the run may use the label of an image, bool [n].

  Raises:
    ValueError: more labelled rows than rows, or a stream without images.
  """
  members = (np.ones_like(labelled), labelled, ~labelled)
  result = [
    Stream(np.flatnonzero(members[number]).astype(np.int32), rows, number)
    for number, rows in stream_positions(batch_size, labelled_per_batch).items()
  ]
  for stream in result:
    if not len(stream.population):
      kind = ('train', 'labelled', 'unlabelled')[stream.number]
      raise ValueError(
        f'config.data.labelled_per_batch={labelled_per_batch} of'
        f' config.batch_size={batch_size} needs {stream.rows} {kind} rows, but'
        ' the train set has no such images.'
      )
  return result


def stream_positions(
  batch_size: int, labelled_per_batch: int
) -> dict[int, np.ndarray]:
  """Returns the rows of each non-empty stream by number, ascending int [rows].

  Args:
    batch_size: rows of the global batch B.
    labelled_per_batch: labelled rows per batch; 0 samples from all images.

  Raises:
    ValueError: more labelled rows than rows.
  """
  row = np.arange(batch_size)
  if not labelled_per_batch:
    return {0: row}
  if not 0 <= labelled_per_batch <= batch_size:
    raise ValueError(
      f'config.data.labelled_per_batch={labelled_per_batch} must be between 0'
      f' and config.batch_size={batch_size}.'
    )
  # Spread evenly, so that every process has its share of the labels.
  before, after = (x * labelled_per_batch // batch_size for x in (row, row + 1))
  parts = {1: row[after > before], 2: row[after == before]}
  return {number: rows for number, rows in parts.items() if len(rows)}


def process_rows(
  batch_size: int, process_index: int, process_count: int
) -> range:
  """Returns the rows of the global batch that belong to a process.

  Raises:
    ValueError: the batch cannot be split evenly.
  """
  if batch_size < 1 or batch_size % process_count:
    raise ValueError(
      f'A batch of {batch_size} rows must be a positive multiple of the '
      f'{process_count} processes.'
    )
  rows = batch_size // process_count
  return range(process_index * rows, (process_index + 1) * rows)


def share(stream: Stream, rows: range) -> Share:
  """Returns the part of a stream for a process with `rows` of the batch."""
  first, last = map(
    int, np.searchsorted(stream.positions, [rows.start, rows.stop])
  )
  blocks = range(first // stream.block, -(-last // stream.block))
  start = blocks.start * stream.block
  return Share(
    blocks=blocks,
    keep=slice(first - start, last - start),
    positions=stream.positions[first:last] - rows.start,
  )
