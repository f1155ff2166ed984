"""Shards of a data set: the images whose masks make one file.

A shard is plain values that locate its images, so that it travels to any
process or machine that sees the same files.
"""

from collections.abc import Iterator
import json
import os
from typing import NamedTuple

import numpy as np

from semppl_jax.data import masks
from semppl_jax.data.dataset import Dataset
from semppl_jax.data.sources.folder import FileSource
from semppl_jax.data.sources.tfrecord_index import RecordSource


class ImageShard(NamedTuple):
  """Some images of a data set, n of them.

  Attributes:
    file: file of their masks.
    ids: of the images, [n].
    places: file, first byte and size of the record of each, [n]; a size of -1
      is an image file.
    key: feature of a record that has the image; '' for image files.
  """

  file: str
  ids: tuple[str, ...]
  places: tuple[tuple[str, int, int], ...]
  key: str


class ShardCounts(NamedTuple):
  """Content of one file of masks.

  Attributes:
    ids: of its masks, in order.
    background: masks without foreground.
    foreground: masks without background.
    coverage: shares of foreground, summed.
    checksum: SHA-256 over its records.
  """

  ids: tuple[str, ...]
  background: int
  foreground: int
  coverage: float
  checksum: str


def split_dataset(data: Dataset, folder: str) -> list[ImageShard]:
  """Returns the shards of a data set for a store in `folder`."""
  return [
    make_shard(
      data,
      np.arange(rows.start, rows.stop),
      masks.shard_file(folder, data.size, number),
    )
    for number, rows in enumerate(masks.shard_ranges(data.size))
  ]


def evenly_spaced(size: int, count: int) -> np.ndarray:
  """Returns at most `count` of `size` rows, evenly spaced, ascending [m]."""
  return np.unique(np.linspace(0, size - 1, min(count, size)).astype(int))


def make_shard(data: Dataset, rows: np.ndarray, file: str = '') -> ImageShard:
  """Returns the shard of `rows` (ascending int [m]) of a data set."""
  part = data.select(rows)
  source = part.source
  if isinstance(source, FileSource):
    paths = map(os.path.abspath, source.full_paths())
    places, key = tuple((path, 0, -1) for path in paths), ''
  else:
    places, key = _record_places(source), source.keys.image
  return ImageShard(file, tuple(part.ids.tolist()), places, key)


def _record_places(source: RecordSource) -> tuple[tuple[str, int, int], ...]:
  return tuple(
    (source.shards[number].file, offset, size)
    for number, offset, size in zip(
      source.shard_of(source.rows).tolist(),
      source.offsets[source.rows].tolist(),
      source.sizes[source.rows].tolist(),
      strict=True,
    )
  )


def to_json(shard: ImageShard) -> str:
  """Returns a shard as one line of text."""
  return json.dumps(shard._asdict())


def from_json(line: str) -> ImageShard:
  """Inverts `to_json`."""
  content = json.loads(line)
  places = tuple((file, first, size) for file, first, size in content['places'])
  ids = tuple(content['ids'])
  return ImageShard(content['file'], ids, places, content['key'])


def read_images(shard: ImageShard) -> Iterator[np.ndarray | None]:
  """Yields the images of a shard, uint8 [H, W, 3]; None for an unreadable one.

  They are decoded as in the input pipeline, so that a mask fits its image.

  Raises:
    ValueError: a record file has changed since it was indexed.
  """
  from semppl_jax.data.tf import decode
  from semppl_jax.data.tf.runtime import tf

  for place in shard.places:
    try:
      content = read_encoded(place, shard.key)
      yield decode.decode_image(tf.constant(content)).numpy()
    except tf.errors.OpError:
      yield None


def read_encoded(place: tuple[str, int, int], key: str) -> bytes:
  """Returns the encoded image at one of a shard's places."""
  from semppl_jax.data.sources.tfrecord_tf import read_one
  from semppl_jax.data.tf.runtime import tf

  file, first, size = place
  with tf.io.gfile.GFile(file, 'rb') as opened:
    if size < 0:
      return opened.read()
    record = read_one(opened, first, size, 'The data')
  feature = tf.train.Example.FromString(record).features.feature[key]
  return feature.bytes_list.value[0] if feature.bytes_list.value else b''
