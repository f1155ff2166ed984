"""Hostile pickles take neither memory nor time."""

import contextlib
import pickle
import struct
import time

import pytest

from semppl_jax.exchange import unpickle
from semppl_jax.models.weights import WeightsError
from tests.helpers import hostile


@pytest.mark.parametrize(
  'program',
  [
    b'\x80\x04\x8e' + struct.pack('<Q', 10 * 2**30) + b'ab.',  # BINBYTES8
    b'\x80\x05\x96' + struct.pack('<Q', 10 * 2**30) + b'ab.',  # BYTEARRAY8
    b'\x80\x04\x8d' + struct.pack('<Q', 10 * 2**30) + b'ab.',  # BINUNICODE8
    b'\x80\x03B' + struct.pack('<I', 2**32 - 1) + b'ab.',  # BINBYTES
    b'\x80\x02X' + struct.pack('<I', 2**32 - 1) + b'ab.',  # BINUNICODE
    b'\x80\x02T' + struct.pack('<i', 2**31 - 1) + b'ab.',  # BINSTRING
    b'\x80\x02\x8b' + struct.pack('<i', 2**31 - 1) + b'ab.',  # LONG4
    b'\x80\x02\x8b' + struct.pack('<i', -1) + b'ab.',
    b'L' + b'9' * 100_000 + b'L\n.',
  ],
)
def test_claims_of_gigabytes_take_no_memory(tmp_path, program):
  path = tmp_path / hostile.ORIGIN
  path.write_bytes(program)
  with path.open('rb') as file:  # It would make room before it reads.
    message, peak = hostile.peak(lambda: hostile.refusal(file))
  assert 'damaged' in message
  assert peak < 2**21


def test_memo_of_a_far_index():
  program = b'\x80\x02]r\xff\xff\xff\x7fK\x01aj\xff\xff\xff\x7f.'
  found, peak = hostile.peak(lambda: hostile.load(program))
  assert found == [1]
  assert peak < 2**21


def _laughs(levels, last):
  """Lists of ten times the list before."""
  program = b'\x80\x02]q\x00'
  for level in range(1, levels):
    program += b'](' + bytes([ord('h'), level - 1]) * 10 + b'e'
    program += b'q' + bytes([level])
  return program + last


def test_billion_laughs_are_short():
  found, peak = hostile.peak(lambda: hostile.load(_laughs(30, b'.')))
  assert len(found) == 10
  assert peak < 2**21


def test_billion_laughs_are_no_key():
  """The hash of nested tuples takes forever."""
  nested = b')q\x000'
  for level in range(1, 40):
    nested += (
      (b'h' + bytes([level - 1])) * 2 + b'\x86q' + bytes([level, ord('0')])
    )
  assert 'tuple as a key' in hostile.refusal(b'}' + nested + b"h'Ns.")
  assert len(hostile.load(b'\x8f(' + nested + b"h'\x90.")) == 1  # A set.


@pytest.mark.parametrize(
  'again',
  [
    b'c_codecs\nencode\nq\x00%s\x85q\x01',  # Text as bytes.
    # Text as an array.
    b'cnumpy\nndarray\nq\x00M\x00\xf0\x85U\x02u1%s\x87q\x01',
  ],
)
def test_the_same_bytes_over_and_over(again):
  text = b'T' + struct.pack('<i', 0xF000) + b'x' * 0xF000
  program = again.replace(b'%s', text) + b'h\x00h\x01R' * 20_000 + b'.'
  message, peak = hostile.peak(lambda: hostile.refusal(program))
  assert 'allocates more bytes' in message
  assert peak < 2**23


def test_the_same_dict_over_and_over():
  items = b''.join(b'K' + bytes([i % 256]) + b'N' for i in range(256))
  program = (
    b'\x80\x02ccollections\nOrderedDict\nq\x00}(' + items + b'u\x85q\x01'
  )
  program += b'h\x00h\x01R' * 100_000 + b'.'
  message, peak = hostile.peak(lambda: hostile.refusal(program))
  assert 'allocates more bytes' in message
  assert peak < 2**26


def test_more_opcodes_than_any_file(monkeypatch):
  monkeypatch.setattr(unpickle, 'MOST_OPCODES', 1000)
  assert 'opcodes' in hostile.refusal(b']' * 1001 + b'.')
  assert hostile.load(b']' * 999 + b'.') == []


@pytest.mark.parametrize('opcode', [b'(', b']', b'}'])
def test_depth_ends_nothing(opcode):
  """Nested deeper than Python's own stack; `a` puts each into the last."""
  depth = 50_000
  inner = {b'(': b't', b']': b'a', b'}': b'Ns'}[opcode]
  program = opcode * depth + (b'N' if opcode == b'}' else b'')
  program += inner * (depth - 1) + b'.'
  with contextlib.suppress(WeightsError):
    hostile.load(program)


@pytest.mark.parametrize('key', [2**61 - 1, 2**32, -(2**31) - 1])
def test_keys_of_one_hash_take_no_time(key):
  """Multiples of 2**61 - 1 all have the hash 0."""
  rows = [i * key for i in range(1, 8001)]
  start = time.process_time()
  assert 'more than 32 bits as a key' in hostile.refusal(
    pickle.dumps(dict.fromkeys(rows, 0))
  )
  assert time.process_time() - start < 2


def test_keys_of_32_bits():
  content = dict.fromkeys([-(2**31), -1, 0, True, 2**32 - 1])
  assert hostile.load(pickle.dumps(content)) == content
  # Those that share the most places of a table.
  content = dict.fromkeys(range(0, 2**32, 2**19))
  start = time.process_time()
  assert hostile.load(pickle.dumps(content)) == content
  assert time.process_time() - start < 2


@pytest.mark.parametrize('index', [2**32, -1])
def test_memo_of_an_index_that_no_file_has(index):
  assert 'memo' in hostile.refusal(b']p%d\n.' % index)


def test_memo_of_one_hash_takes_no_time():
  program = b']' + b''.join(
    b'p%d\n' % (i * (2**61 - 1)) for i in range(1, 8001)
  )
  start = time.process_time()
  hostile.refusal(program + b'.')
  assert time.process_time() - start < 2
