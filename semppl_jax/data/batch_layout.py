"""Which rows of the global batch come from which stream, and who makes them.

Nothing here depends on the number of processes but `share`, which picks.
"""

from typing import NamedTuple

import numpy as np

BLOCK = 8


class Stream(NamedTuple):
  """Rows of every step that are drawn from one set of images.

  Attributes:
    population: positions of the images in the train set, ascending int32 [n].
    places: their rows in the global batch, ascending int [rows].
    number: tells the streams of a run apart.
  """

  population: np.ndarray
  places: np.ndarray
  number: int

  @property
  def rows(self) -> int:
    """Rows per step, over all processes."""
    return len(self.places)

  @property
  def block(self) -> int:
    """Rows of a block."""
    return block_size(self.rows)


class Share(NamedTuple):
  """What one process makes of a stream.

  Attributes:
    blocks: blocks of each step that hold its rows.
    keep: its rows among those of the blocks.
    places: where they go in its part of the batch, int [own rows].
  """

  blocks: range
  keep: slice
  places: np.ndarray


def block_size(rows: int) -> int:
  """Smallest divisor of `rows` that is at least `BLOCK`, or `rows`."""
  return next((n for n in range(BLOCK, rows) if rows % n == 0), rows)


def streams(
  batch_size: int, labelled_per_batch: int, known: np.ndarray
) -> list[Stream]:
  """Returns one stream of all images, or one of the labelled and one of others.

  Args:
    batch_size: rows of the global batch B.
    labelled_per_batch: rows that show a labelled image; 0: as they come.
    known: whether an image may show its label, bool [n].

  Raises:
    ValueError: more labelled rows than rows, or a stream without images.
  """
  own = (np.ones_like(known), known, ~known)
  parts = [
    Stream(np.flatnonzero(own[number]).astype(np.int32), rows, number)
    for number, rows in places(batch_size, labelled_per_batch).items()
  ]
  for part in parts:
    if not len(part.population):
      kind = {0: 'train', 1: 'labelled', 2: 'unlabelled'}[part.number]
      raise ValueError(
        f'config.data.labelled_per_batch={labelled_per_batch} of'
        f' config.batch_size={batch_size} asks for {part.rows} {kind} rows, and'
        ' the train set has no such images.'
      )
  return parts


def places(batch_size: int, labelled_per_batch: int) -> dict[int, np.ndarray]:
  """The rows of each stream that has any, by its number, ascending int [rows].

  Args:
    batch_size: rows of the global batch B.
    labelled_per_batch: rows that show a labelled image; 0: as they come.

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
  """Rows of the global batch that belong to a process.

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
  """What a process with `rows` of the global batch makes of a stream."""
  first, last = np.searchsorted(stream.places, [rows.start, rows.stop])
  blocks = range(int(first) // stream.block, -(-int(last) // stream.block))
  start = blocks.start * stream.block
  return Share(
    blocks=blocks,
    keep=slice(int(first) - start, int(last) - start),
    places=stream.places[first:last] - rows.start,
  )
