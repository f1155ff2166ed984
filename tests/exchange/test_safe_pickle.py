"""Hostile and damaged pickles: none runs, none takes memory, all end in one
sentence."""

import argparse
import collections
import contextlib
import io
import os
import pickle
import struct
import sys
import time
import tracemalloc

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from semppl_jax.exchange import pickle_types, safe_pickle
from semppl_jax.weights import WeightsError

ORIGIN = 'weights.pkl'


def _load(data):
  size = len(data) if isinstance(data, bytes) else 0
  return safe_pickle.load(data, ORIGIN, pickle_types.make_known(size))


def _refusal(data):
  with pytest.raises(WeightsError) as caught:
    _load(data)
  message = str(caught.value)
  assert message.startswith(ORIGIN) and message.endswith('.')
  assert '\n' not in message and len(message) < 600
  return message


class _Calls:
  """Pickles as a call of `function`, which `pickle.load` would make."""

  def __init__(self, function, *arguments):
    self.call = (function, arguments)

  def __reduce__(self):
    return self.call


def _values():
  rng = np.random.default_rng(0)
  return {
    'w': rng.normal(size=(2, 3)).astype(np.float32),
    'columns': np.asfortranarray(rng.normal(size=(3, 4))),
    'big': np.arange(5, dtype='>i4'),
    'mask': np.array([True, False]),
    'counter': np.int32(7),
    'none': np.zeros((0, 3), np.float16),
    'plain': {'step': 3, 'names': ('a', [1.5, None], True, b'x', 2**70)},
    'ordered': collections.OrderedDict(a=1),
  }


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_reads_what_pickle_reads(protocol):
  values = _values()
  found = _load(pickle.dumps(values, protocol))
  assert found.keys() == values.keys()
  for name in ('w', 'columns', 'mask', 'counter', 'none'):
    np.testing.assert_array_equal(found[name], values[name], strict=True)
  np.testing.assert_array_equal(found['big'], values['big'])
  assert found['plain'] == values['plain']
  assert found['ordered'] == {'a': 1} and type(found['ordered']) is dict


def test_arrays_of_many_places_are_one():
  array = np.arange(3.0)
  found = _load(pickle.dumps([array, array]))
  assert found[0] is found[1]
  np.testing.assert_array_equal(found[0], array)


def test_reads_bytes_of_python_2():
  program = (
    b'cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS"b"\ntR'
    b"(I1\n(I2\ntcnumpy\ndtype\n(S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\n"
    b'tbI00\nU\x08\x00\x00\x80?\x00\x00\x00@tb.'
  )
  np.testing.assert_array_equal(_load(program), np.float32([1, 2]))


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize('inside', [False, True])
def test_runs_no_command(tmp_path, protocol, inside):
  marker = tmp_path / 'ran'
  hostile = _Calls(os.system, f'touch {marker}')
  value = {'online_params': [hostile]} if inside else hostile
  data = pickle.dumps(value, protocol)
  assert 'system' in _refusal(data)
  assert not marker.exists()
  # The file is as hostile as it looks.
  pickle.loads(data)
  assert marker.exists()


@pytest.mark.parametrize(
  'call',
  [
    (eval, '__import__("os").mkdir({marker!r})'),
    (exec, '__import__("os").mkdir({marker!r})'),
    (open, '{marker}', 'w'),
    (os.mkdir, '{marker}'),
    (os.open, '{marker}', os.O_CREAT),
    (io.FileIO, '{marker}', 'w'),
    (map, os.mkdir, ['{marker}']),
    (np.save, '{marker}', 0),
    (getattr, dict, 'update'),
    (__import__, 'antigravity'),
    (np.load, '{marker}'),
    (np.memmap, '{marker}', 'u1', 'w+', 0, (1,)),
    (argparse.FileType('w'), '{marker}'),
  ],
  ids=lambda call: getattr(call[0], '__name__', 'instance'),
)
def test_calls_nothing(tmp_path, call):
  marker = tmp_path / 'ran'
  function, *arguments = call
  filled = [
    x.format(marker=str(marker)) if isinstance(x, str) else x for x in arguments
  ]
  _refusal(pickle.dumps(_Calls(function, *filled)))
  assert not list(tmp_path.iterdir())


def test_calls_nothing_that_calls_made():
  inner = _Calls(getattr, _Calls(__import__, 'os'), 'getcwd')
  _refusal(pickle.dumps(_Calls(map, inner, [])))


@pytest.mark.parametrize(
  'program',
  [
    b"(S'touch ran'\nios\nsystem\n.",  # INST
    b"(cos\nsystem\nS'touch ran'\no.",  # OBJ
    b"cos\nsystem\n(S'touch ran'\ntR.",  # REDUCE
    b'\x80\x02cos\nsystem\nX\x09\x00\x00\x00touch ran\x85\x81.',  # NEWOBJ
    b'\x80\x04\x8c\x02os\x8c\x06system\x93.',  # STACK_GLOBAL
    b'\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.__init__\x93.',
    b'\x80\x04ccollections\nOrderedDict\n)}\x92.',  # NEWOBJ_EX
    b'\x80\x02\x82\x01.',  # EXT1
    b'\x80\x02\x84\x01\x00\x00\x00.',  # EXT4
    b"S'os.system'\nP1\n.",  # PERSID
    b'\x80\x02K\x01Q.',  # BINPERSID
    b'\x80\x05\x97.',  # NEXT_BUFFER
    # A state for the stand-ins themselves.
    b'\x80\x02ccollections\nOrderedDict\n}U\x04makeK\x01sb.',
    b'\x80\x02ccollections\nOrderedDict\nN}U\x04makeK\x01s\x86b.',
    b'\x80\x02]}b.',
    b'\x80\x02U\x01aU\x01b\x85R.',  # A call of text.
    b'\x80\x02ccollections\nOrderedDict\nK\x01R.',  # Without a tuple.
  ],
)
def test_opcodes_that_call_are_refused(program):
  assert f'{ORIGIN} is refused: ' in _refusal(program)


def test_names_are_not_imported():
  assert 'antigravity' not in sys.modules
  _refusal(b'cantigravity\nfly\n.')
  assert 'antigravity' not in sys.modules


def test_arrays_are_made_by_numpy_alone():
  """dill's and JAX's constructors are given a function to call."""
  program = (
    b'\x80\x02cdill._dill\n_create_array\n(ccollections\nOrderedDict\n)NNtR.'
  )
  assert 'not NumPy' in _refusal(program)


@pytest.mark.parametrize(
  'array',
  [
    np.array([{}, []], object),
    np.zeros(2, [('a', 'f4')]),
    np.array(['text']),
    np.array(['2020-01-01'], 'datetime64[D]'),
    np.zeros(2, complex),
  ],
  ids=lambda array: array.dtype.kind,
)
def test_arrays_are_of_numbers(array):
  _refusal(pickle.dumps(array))


# What claims more than is there -----------------------------------------


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
  path = tmp_path / ORIGIN
  path.write_bytes(program)
  with path.open('rb') as file:  # It would make room before it reads.
    message, peak = _peak(lambda: _refusal(file))
  assert 'damaged' in message
  assert peak < 2**21


def test_array_that_claims_ten_gigabytes():
  program = pickle.dumps(
    _Calls(np.ndarray, (10 * 2**30,), 'u1', b'ab'), protocol=4
  )
  message, peak = _peak(lambda: _refusal(program))
  assert 'claims 10737418240 bytes where 2 are there' in message
  assert peak < 2**21


@pytest.mark.parametrize('shape', [(-1, -2), (2.0,), ('2',), (2**70, 0)])
def test_array_of_no_shape(shape):
  _refusal(pickle.dumps(_Calls(np.ndarray, shape, 'u1', b'ab'), protocol=4))


def test_memo_of_a_far_index():
  program = b'\x80\x02]r\xff\xff\xff\x7fK\x01aj\xff\xff\xff\x7f.'
  found, peak = _peak(lambda: _load(program))
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
  found, peak = _peak(lambda: _load(_laughs(30, b'.')))
  assert len(found) == 10
  assert peak < 2**21


def test_billion_laughs_are_no_key():
  """The hash of nested tuples takes forever."""
  nested = b')q\x000'
  for level in range(1, 40):
    nested += (
      (b'h' + bytes([level - 1])) * 2 + b'\x86q' + bytes([level, ord('0')])
    )
  assert 'tuple as a key' in _refusal(b'}' + nested + b"h'Ns.")
  assert len(_load(b'\x8f(' + nested + b"h'\x90.")) == 1  # A set.


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
  message, peak = _peak(lambda: _refusal(program))
  assert 'more bytes than the file has' in message
  assert peak < 2**23


def test_the_same_dict_over_and_over():
  items = b''.join(b'K' + bytes([i % 256]) + b'N' for i in range(256))
  program = (
    b'\x80\x02ccollections\nOrderedDict\nq\x00}(' + items + b'u\x85q\x01'
  )
  program += b'h\x00h\x01R' * 100_000 + b'.'
  message, peak = _peak(lambda: _refusal(program))
  assert 'more bytes than the file has' in message
  assert peak < 2**26


def test_more_opcodes_than_any_file(monkeypatch):
  monkeypatch.setattr(safe_pickle, 'MOST_OPCODES', 1000)
  assert 'opcodes' in _refusal(b']' * 1001 + b'.')
  assert _load(b']' * 999 + b'.') == []


@pytest.mark.parametrize('opcode', [b'(', b']', b'}'])
def test_depth_ends_nothing(opcode):
  """Nested deeper than Python's own stack; `a` puts each into the last."""
  depth = 50_000
  inner = {b'(': b't', b']': b'a', b'}': b'Ns'}[opcode]
  program = opcode * depth + (b'N' if opcode == b'}' else b'')
  program += inner * (depth - 1) + b'.'
  with contextlib.suppress(WeightsError):
    _load(program)


def _peak(work):
  """Returns the result of `work` and the bytes that it took at most."""
  tracemalloc.start()
  try:
    return work(), tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()


# Damage -------------------------------------------------------------------


@pytest.mark.parametrize('protocol', [0, 2, 4])
def test_every_truncation_is_one_sentence(protocol):
  data = pickle.dumps({'w': np.arange(3.0), 'x': [1, {'y': 2}]}, protocol)
  for length in range(len(data)):
    assert 'damaged' in _refusal(data[:length])


_WHOLE = pickle.dumps({'w': np.arange(3.0), 'x': [1, {'y': (2, 'z')}]}, 2)


@settings(max_examples=300, deadline=None)
@given(
  changes=st.lists(
    st.tuples(st.integers(0, len(_WHOLE) - 1), st.integers(0, 255)),
    min_size=1,
    max_size=4,
  )
)
def test_any_change_is_read_or_refused(changes):
  data = bytearray(_WHOLE)
  for place, value in changes:
    data[place] = value
  try:
    _load(bytes(data))
  except WeightsError as error:
    assert str(error).startswith(ORIGIN)


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(data):
  try:
    _load(data + b'.')
  except WeightsError as error:
    assert str(error).startswith(ORIGIN)


# What costs more time or memory than it has bytes --------------------------


def test_named_tuples_over_and_over():
  fields = b'(' + b''.join(b'U\x02%02d' % i for i in range(100)) + b't'
  program = b'\x80\x02cdill._dill\n_create_namedtuple\nU\x01a' + fields
  program += b'U\x01b\x87Rq\x00(' + b'N' * 100 + b'tq\x01'
  program += b'h\x00h\x01R' * 20_000 + b'.'
  message, peak = _peak(lambda: _refusal(program))
  assert 'over and over' in message
  assert peak < 2**22


@pytest.mark.parametrize('key', [2**61 - 1, 2**32, -(2**31) - 1])
def test_keys_of_one_hash_take_no_time(key):
  """Multiples of 2**61 - 1 all have the hash 0."""
  rows = [i * key for i in range(1, 8001)]
  start = time.process_time()
  assert 'more than 32 bits as a key' in _refusal(
    pickle.dumps(dict.fromkeys(rows, 0))
  )
  assert time.process_time() - start < 2


def test_keys_of_32_bits():
  content = dict.fromkeys([-(2**31), -1, 0, True, 2**32 - 1])
  assert _load(pickle.dumps(content)) == content
  # Those that share the most places of a table.
  content = dict.fromkeys(range(0, 2**32, 2**19))
  start = time.process_time()
  assert _load(pickle.dumps(content)) == content
  assert time.process_time() - start < 2


@pytest.mark.parametrize('index', [2**32, -1])
def test_memo_of_an_index_that_no_file_has(index):
  assert 'memo' in _refusal(b']p%d\n.' % index)


def test_memo_of_one_hash_takes_no_time():
  program = b']' + b''.join(
    b'p%d\n' % (i * (2**61 - 1)) for i in range(1, 8001)
  )
  start = time.process_time()
  _refusal(program + b'.')
  assert time.process_time() - start < 2


# States -----------------------------------------------------------------


def test_content_in_a_state_is_not_dropped():
  program = b'\x80\x02chaiku._src.data_structures\nFlatMapping\n)\x81'
  assert 'state of an unknown kind' in _refusal(program + b'}U\x01wK\x01sb.')
  assert 'state of an unknown kind' in _refusal(
    program + b'N}U\x01wK\x01s\x86b.'
  )
  assert _load(program + b'}b.') == {}


def test_states_that_are_known():
  """PyTorch's versions of modules, and the arguments of a program."""
  ordered = collections.OrderedDict(a=1)
  ordered._metadata = {'': {'version': 2}}
  assert _load(pickle.dumps(ordered)) == {'a': 1}
  assert _load(pickle.dumps(argparse.Namespace(lr=0.5))) == {'lr': 0.5}
