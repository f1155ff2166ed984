"""`tf.train.Example` without TensorFlow.

Reads what images need, a bytes or an integer value of a feature, straight from
the encoding of protocol buffers (https://protobuf.dev/programming-guides/
encoding): an Example holds Features as its field 1, these hold an entry for
each feature as field 1, and an entry its name as field 1 and its Feature as
field 2, which is one of a list of bytes (1), of floats (2) or of integers (3).
"""

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_KINDS = {1: 'bytes', 3: 'integers'}


def parse(record: memoryview) -> dict[str, bytes | int]:
  """Returns the first value of each feature of bytes or integers.

  Features without a value, and those of floats, are left out.

  Raises:
    ValueError: it is no Example.
  """
  found: dict[str, bytes | int] = {}
  try:
    for features in _messages(record, 1):
      for entry in _messages(features, 1):
        name, value = '', None
        for number, content in _fields(entry):
          if number == 1 and isinstance(content, memoryview):
            name = str(content, 'utf-8')
          elif number == 2 and isinstance(content, memoryview):
            value = _first(content)
        if value is not None:
          found[name] = value
  except (IndexError, UnicodeDecodeError) as error:
    raise ValueError('not a tf.train.Example') from error
  return found


def _first(feature: memoryview) -> bytes | int | None:
  """The first value of a Feature, None where it has none."""
  for kind, values in _fields(feature):
    if kind not in _KINDS or not isinstance(values, memoryview):
      continue
    for number, value in _fields(values):
      if number != 1:
        continue
      if _KINDS[kind] == 'bytes':
        return bytes(value) if isinstance(value, memoryview) else None
      # Integers are packed into one run of bytes, or each stands alone.
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
  """Returns a number of variable length, and where it ends."""
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
