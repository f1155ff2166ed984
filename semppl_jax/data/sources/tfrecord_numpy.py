"""TFRecord files without TensorFlow, mapped into memory.

The frame of a record (https://www.tensorflow.org/tutorials/load_data/tfrecord)
is its length, a checksum of that, its bytes and a checksum of these. Neither
checksum is read: a wrong length leads to bytes that are no Example, and a
damaged image fails to decode.

`parse_example` decodes the protocol buffer `tf.train.Example`
(https://protobuf.dev/programming-guides/encoding): an Example holds Features as
its field 1, these hold an entry for each feature as field 1, and an entry its
name as field 1 and its Feature as field 2, which is one of a list of bytes (1),
of floats (2) or of integers (3).
"""

from collections.abc import Iterator, Mapping, Sequence
import mmap
import os
from typing import NamedTuple

import numpy as np

from semppl_jax.data.batch import UNLABELLED
from semppl_jax.data.sources import tfrecord_index
from semppl_jax.data.sources.tfrecord_index import (
  FRAME,
  HEADER,
  Keys,
  RecordIndex,
  RecordSource,
  Scan,
  Shard,
)

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_BYTES_LIST, _INT64_LIST = 1, 3
_Features = dict[str, bytes | int]


class Stored(NamedTuple):
  """Encoded image and mask of a record; `mask` is empty if it has none."""

  image: bytes
  mask: bytes


def index_records(
  shards: Sequence[Shard], where: str, keys: Keys | None = None
) -> RecordIndex:
  """Reads ids and labels of all records.

  Args:
    shards: the runs of records.
    where: field and value, for messages.
    keys: feature keys (default: those of the first record).

  Raises:
    ValueError: a file is missing, damaged, or holds records without an image.
  """
  files = {x.file: _map_file(x.file, where) for x in shards}
  scans = []
  for shard in shards:
    scan, keys = _scan_shard(files[shard.file], shard, where, keys)
    scans.append(scan)
  if keys is None:
    raise ValueError(f'{where} holds no records.')
  return tfrecord_index.make_index(
    shards, keys, tfrecord_index.join_scans(scans)
  )


def read_all(source: RecordSource) -> Iterator[Stored]:
  """Yields the bytes of every image of a source, in order.

  Raises:
    ValueError: a file has changed since it was indexed.
  """
  files: dict[str, memoryview] = {}
  for row, number in zip(
    source.rows, source.shard_of(source.rows), strict=True
  ):
    shard = source.shards[number]
    if shard.file not in files:
      files[shard.file] = _map_file(shard.file, 'config.data')
    begin = int(source.offsets[row]) + HEADER
    record = files[shard.file][begin : begin + int(source.sizes[row])]
    features = _parse(record, shard, 'config.data')
    yield Stored(
      _bytes(features, source.keys.image), _bytes(features, source.keys.mask)
    )


def _map_file(file: str, where: str) -> memoryview:
  try:
    with open(file, 'rb') as opened:
      # An empty file cannot be mapped.
      if not os.fstat(opened.fileno()).st_size:
        return memoryview(b'')
      return memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
  except OSError as error:
    reason = error.strerror or str(error)
    raise ValueError(f'{where}: {file!r} cannot be read: {reason}.') from error


def _scan_shard(
  content: memoryview, shard: Shard, where: str, keys: Keys | None
) -> tuple[Scan, Keys | None]:
  """Returns the scan of a shard, and the keys, found if they were None."""
  ids, labels, offsets, sizes = [], [], [], []
  last = None if shard.take < 0 else shard.skip + shard.take
  for place, (offset, record) in enumerate(_records(content, shard, where)):
    if place < shard.skip:
      continue
    if place == last:
      break
    features = _parse(record, shard, where)
    if keys is None:
      is_bytes = {k: isinstance(v, bytes) for k, v in features.items()}
      keys = tfrecord_index.find_keys(is_bytes, where)
    ids.append(_bytes(features, keys.id))
    label = features.get(keys.label, UNLABELLED)
    labels.append(label if isinstance(label, int) else UNLABELLED)
    offsets.append(offset)
    sizes.append(len(record))
  label, offset, size = (
    np.array(x, np.int64) for x in (labels, offsets, sizes)
  )
  return (ids, label, offset, size), keys


def _records(
  content: memoryview, shard: Shard, where: str
) -> Iterator[tuple[int, memoryview]]:
  """Yields the first byte of each record's frame, and its bytes."""
  offset = 0
  while offset < len(content):
    size = int.from_bytes(content[offset : offset + 8], 'little')
    if offset + FRAME + size > len(content):
      raise ValueError(
        f'{where}: {shard.file!r} cannot be read: it ends within the record at'
        f' byte {offset}.'
      )
    yield offset, content[offset + HEADER : offset + HEADER + size]
    offset += FRAME + size


def _parse(record: memoryview, shard: Shard, where: str) -> _Features:
  try:
    return parse_example(record)
  except ValueError as error:
    raise ValueError(
      f'{where}: the records of {shard.file!r} are not tf.train.Example.'
    ) from error


def _bytes(features: Mapping[str, bytes | int], key: str) -> bytes:
  value = features.get(key)
  return value if isinstance(value, bytes) else b''


def parse_example(record: memoryview) -> _Features:
  """Returns the first value of each feature of bytes or integers.

  Features without a value, and those of floats, are left out.

  Raises:
    ValueError: the bytes are not a tf.train.Example.
  """
  parsed: _Features = {}
  try:
    for features in _messages(record, 1):
      for entry in _messages(features, 1):
        name, value = '', None
        for number, content in _fields(entry):
          if number == 1 and isinstance(content, memoryview):
            name = str(content, 'utf-8')
          elif number == 2 and isinstance(content, memoryview):
            value = _first_value(content)
        if value is not None:
          parsed[name] = value
  except (IndexError, UnicodeDecodeError) as error:
    raise ValueError('not a tf.train.Example') from error
  return parsed


def _first_value(feature: memoryview) -> bytes | int | None:
  """Returns the first value of a Feature, None if it has none."""
  for kind, values in _fields(feature):
    if kind not in (_BYTES_LIST, _INT64_LIST):
      continue
    if not isinstance(values, memoryview):
      continue
    for number, value in _fields(values):
      if number != 1:
        continue
      if kind == _BYTES_LIST:
        return bytes(value) if isinstance(value, memoryview) else None
      # Integers are packed into one run of bytes, or each is a field.
      if isinstance(value, memoryview):
        if not len(value):
          continue
        value, _ = _varint(value, 0)
      return value - 2**64 if value >= 2**63 else value
  return None


def _messages(content: memoryview, wanted: int) -> Iterator[memoryview]:
  for number, value in _fields(content):
    if number == wanted and isinstance(value, memoryview):
      yield value


def _fields(content: memoryview) -> Iterator[tuple[int, memoryview | int]]:
  """Yields number and content of every field of a message.

  Raises:
    ValueError: the encoding is broken.
    IndexError: it ends in the middle of a field.
  """
  place = 0
  while place < len(content):
    tag, place = _varint(content, place)
    number, kind = tag >> 3, tag & 7
    if kind == _VARINT:
      value, place = _varint(content, place)
      yield number, value
      continue
    if kind == _BYTES:
      size, place = _varint(content, place)
    elif kind in (_FIXED32, _FIXED64):
      size = 4 if kind == _FIXED32 else 8
    else:
      raise ValueError('not a tf.train.Example')
    if place + size > len(content):
      raise IndexError
    yield number, content[place : place + size]
    place += size


def _varint(content: memoryview, place: int) -> tuple[int, int]:
  """Returns a number of variable length and the position after it."""
  value = shift = 0
  while True:
    byte = content[place]
    place += 1
    value |= (byte & 0x7F) << shift
    if byte < 0x80:
      return value, place
    shift += 7
    if shift > 63:
      raise ValueError('not a tf.train.Example')
