"""Pickles give what they hold and run nothing."""

import argparse
import collections
import io
import os
import pickle
import sys

import numpy as np
import pytest

from tests.helpers import hostile


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
  found = hostile.load(pickle.dumps(values, protocol))
  assert found.keys() == values.keys()
  for name in ('w', 'columns', 'mask', 'counter', 'none'):
    np.testing.assert_array_equal(found[name], values[name], strict=True)
  np.testing.assert_array_equal(found['big'], values['big'])
  assert found['plain'] == values['plain']
  assert found['ordered'] == {'a': 1} and type(found['ordered']) is dict


def test_arrays_of_many_places_are_one():
  array = np.arange(3.0)
  found = hostile.load(pickle.dumps([array, array]))
  assert found[0] is found[1]
  np.testing.assert_array_equal(found[0], array)


def test_reads_bytes_of_python_2():
  program = (
    b'cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS"b"\ntR'
    b"(I1\n(I2\ntcnumpy\ndtype\n(S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\n"
    b'tbI00\nU\x08\x00\x00\x80?\x00\x00\x00@tb.'
  )
  np.testing.assert_array_equal(hostile.load(program), np.float32([1, 2]))


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize('inside', [False, True])
def test_runs_no_command(tmp_path, protocol, inside):
  marker = tmp_path / 'ran'
  command = hostile.Calls(os.system, f'touch {marker}')
  value = {'online_params': [command]} if inside else command
  data = pickle.dumps(value, protocol)
  assert 'system' in hostile.refusal(data)
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
  hostile.refusal(pickle.dumps(hostile.Calls(function, *filled)))
  assert not list(tmp_path.iterdir())


def test_calls_nothing_that_calls_made():
  inner = hostile.Calls(getattr, hostile.Calls(__import__, 'os'), 'getcwd')
  hostile.refusal(pickle.dumps(hostile.Calls(map, inner, [])))


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
  assert f'{hostile.ORIGIN} is refused: ' in hostile.refusal(program)


def test_names_are_not_imported():
  assert 'antigravity' not in sys.modules
  hostile.refusal(b'cantigravity\nfly\n.')
  assert 'antigravity' not in sys.modules


def test_arrays_are_made_by_numpy_alone():
  """dill's and JAX's constructors are given a function to call."""
  program = (
    b'\x80\x02cdill._dill\n_create_array\n(ccollections\nOrderedDict\n)NNtR.'
  )
  assert 'not NumPy' in hostile.refusal(program)


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
  hostile.refusal(pickle.dumps(array))


def test_content_in_a_state_is_not_dropped():
  program = b'\x80\x02chaiku._src.data_structures\nFlatMapping\n)\x81'
  assert 'an unknown state' in hostile.refusal(program + b'}U\x01wK\x01sb.')
  assert 'an unknown state' in hostile.refusal(
    program + b'N}U\x01wK\x01s\x86b.'
  )
  assert hostile.load(program + b'}b.') == {}


def test_states_that_are_known():
  """PyTorch's versions of modules, and the arguments of a program."""
  ordered = collections.OrderedDict(a=1)
  ordered._metadata = {'': {'version': 2}}
  assert hostile.load(pickle.dumps(ordered)) == {'a': 1}
  assert hostile.load(pickle.dumps(argparse.Namespace(lr=0.5))) == {'lr': 0.5}
