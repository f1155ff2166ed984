"""TFRecord files without TensorFlow, mapped into memory.

The frame of a record (https://www.tensorflow.org/tutorials/load_data/tfrecord)
is its length, a checksum of that, its bytes and a checksum of these. The first
of the checksums is not looked at, since a wrong length leads to bytes that are
no Example, nor is the second, since a damaged image fails to decode.
"""

from collections.abc import Iterator, Sequence
import mmap
import os
from typing import NamedTuple

import numpy as np

from semppl_jax.data.batch import UNLABELLED
from semppl_jax.data.sources import example, tfrecord_index
from semppl_jax.data.sources.tfrecord_index import (
  FRAME,
  HEADER,
  Keys,
  RecordIndex,
  RecordSource,
  Shard,
)


class Stored(NamedTuple):
  """What a record holds, encoded; `mask` is empty where there is none."""

  image: bytes
  mask: bytes


def index_records(
  shards: Sequence[Shard], where: str, keys: Keys | None = None
) -> RecordIndex:
  """Reads ids and labels of all records.

  Args:
    shards: the runs of records.
    where: field and value, for messages.
    keys: where the features are (default: found in the first record).

  Raises:
    ValueError: a file is absent, damaged, or holds records without an image.
  """
  files = {x.file: _open(x.file, where) for x in shards}
  scans = []
  for shard in shards:
    ids, labels, offsets, sizes = [], [], [], []
    last = None if shard.take < 0 else shard.skip + shard.take
    for place, (offset, record) in enumerate(_records(files, shard, where)):
      if place < shard.skip:
        continue
      if place == last:
        break
      found = _parse(record, shard, where)
      keys = keys or _keys(found, where)
      ids.append(_bytes(found.get(keys.id)))
      label = found.get(keys.label, UNLABELLED)
      labels.append(label if isinstance(label, int) else UNLABELLED)
      offsets.append(offset)
      sizes.append(len(record))
    numbers = (np.array(x, np.int64) for x in (labels, offsets, sizes))
    scans.append((ids, *numbers))
  if keys is None:
    raise ValueError(f'{where} holds no records.')
  return tfrecord_index.make_index(shards, keys, tfrecord_index.joined(scans))


def read_all(source: RecordSource) -> Iterator[Stored]:
  """Yields the bytes of every image of a source, in order.

  Raises:
    ValueError: a file is not the one that was indexed.
  """
  ends = np.cumsum(source.lengths)
  files: dict[str, memoryview] = {}
  for row in source.rows:
    shard = source.shards[int(np.searchsorted(ends, row, side='right'))]
    if shard.file not in files:
      files[shard.file] = _open(shard.file, 'config.data')
    begin = int(source.offsets[row]) + HEADER
    record = files[shard.file][begin : begin + int(source.sizes[row])]
    found = _parse(record, shard, 'config.data')
    yield Stored(
      _bytes(found.get(source.keys.image)), _bytes(found.get(source.keys.mask))
    )


def _open(file: str, where: str) -> memoryview:
  try:
    with open(file, 'rb') as opened:
      # An empty file cannot be mapped.
      if not os.fstat(opened.fileno()).st_size:
        return memoryview(b'')
      return memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
  except OSError as error:
    reason = error.strerror or str(error)
    raise ValueError(f'{where}: {file!r} cannot be read: {reason}.') from error


def _records(
  files: dict[str, memoryview], shard: Shard, where: str
) -> Iterator[tuple[int, memoryview]]:
  """Yields where each record of a file begins, and its bytes."""
  content, offset = files[shard.file], 0
  while offset < len(content):
    size = int.from_bytes(content[offset : offset + 8], 'little')
    if offset + FRAME + size > len(content):
      raise ValueError(
        f'{where}: {shard.file!r} cannot be read: it ends within the record at'
        f' byte {offset}.'
      )
    yield offset, content[offset + HEADER : offset + HEADER + size]
    offset += FRAME + size


def _parse(record: memoryview, shard: Shard, where: str):
  try:
    return example.parse(record)
  except ValueError as error:
    raise ValueError(
      f'{where}: the records of {shard.file!r} are not tf.train.Example.'
    ) from error


def _keys(found: dict[str, bytes | int], where: str) -> Keys:
  return tfrecord_index.find_keys(
    {
      name: value
      for name, value in found.items()
      if name not in tfrecord_index.IMAGE_KEYS or isinstance(value, bytes)
    },
    where,
  )


def _bytes(value: bytes | int | None) -> bytes:
  return value if isinstance(value, bytes) else b''
