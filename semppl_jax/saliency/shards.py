"""A data set cut into pieces: the images whose masks make one file.

A piece is plain values that say where its images are, so that it travels to
any process or machine that sees the same files.
"""

from collections.abc import Iterator
import json
import os
from typing import Any, NamedTuple

import numpy as np

from semppl_jax.data.dataset import Dataset
from semppl_jax.data.sources.folder import FileSource


class Piece(NamedTuple):
  """Some images of a data set, n of them.

  Attributes:
    file: where their masks go.
    ids: of the images, [n].
    places: file, first byte and size of the record of each, [n]; a size of -1
      is an image file.
    key: feature of a record that has the image; '' for image files.
  """

  file: str
  ids: tuple[str, ...]
  places: tuple[tuple[str, int, int], ...]
  key: str


def cut(data: Dataset, folder: str) -> list[Piece]:
  """Returns the pieces of a data set for a store in `folder`."""
  from semppl_jax.data import masks

  return [
    piece(
      data,
      np.arange(rows.start, rows.stop),
      masks.shard_file(folder, data.size, number),
    )
    for number, rows in enumerate(masks.shard_ranges(data.size))
  ]


def spread(size: int, count: int) -> np.ndarray:
  """Returns at most `count` of `size` rows, evenly spread, ascending [m]."""
  return np.unique(np.linspace(0, size - 1, min(count, size)).astype(int))


def piece(data: Dataset, rows: np.ndarray, file: str = '') -> Piece:
  """Returns the piece of `rows` (ascending int [m]) of a data set."""
  some = data.select(rows)
  source = some.source
  if isinstance(source, FileSource):
    paths = map(os.path.abspath, source.full_paths())
    places, key = tuple((path, 0, -1) for path in paths), ''
  else:
    places, key = _records(source), source.keys.image
  return Piece(file, tuple(some.ids.tolist()), places, key)


def _records(source: Any) -> tuple[tuple[str, int, int], ...]:
  """File, first byte and size of the records of a `RecordSource`."""
  shard = np.searchsorted(np.cumsum(source.lengths), source.rows, side='right')
  return tuple(
    (source.shards[s].file, offset, size)
    for s, offset, size in zip(
      shard.tolist(),
      source.offsets[source.rows].tolist(),
      source.sizes[source.rows].tolist(),
      strict=True,
    )
  )


def to_json(piece: Piece) -> str:
  """Returns a piece as one line of text."""
  return json.dumps(piece._asdict())


def from_json(line: str) -> Piece:
  """Returns the piece of which `to_json` made this line."""
  content = json.loads(line)
  places = tuple((file, first, size) for file, first, size in content['places'])
  ids = tuple(content['ids'])
  return Piece(content['file'], ids, places, content['key'])


def images(piece: Piece) -> Iterator[np.ndarray | None]:
  """Yields the images of a piece, uint8 [H, W, 3]; None where unreadable.

  They are decoded as the input pipeline does: a mask fits its image there.

  Raises:
    ValueError: a record file has changed since it was indexed.
  """
  from semppl_jax.data.tf import decode
  from semppl_jax.data.tf.runtime import tf

  for place in piece.places:
    try:
      found = content(place, piece.key)
      yield decode.decode_image(tf.constant(found)).numpy()
    except tf.errors.OpError:
      yield None


def content(place: tuple[str, int, int], key: str) -> bytes:
  """Returns the bytes of the image at one of a piece's places."""
  from semppl_jax.data.sources.tfrecord_tf import read_one
  from semppl_jax.data.tf.runtime import tf

  file, first, size = place
  with tf.io.gfile.GFile(file, 'rb') as opened:
    if size < 0:
      return opened.read()
    record = read_one(opened, first, size, 'The data')
  feature = tf.train.Example.FromString(record).features.feature[key]
  return feature.bytes_list.value[0] if feature.bytes_list.value else b''
