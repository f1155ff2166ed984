"""Constructors that files of weights may name: plain dicts and arrays.

Those of NumPy, of arrays of dill and old JAX, of Haiku's mappings, and of the
named tuples of DeepMind's experiments. None of these modules is imported, and
none needs to be installed.
"""

from collections.abc import Sequence
import itertools
import math
from typing import Any

import numpy as np

from semppl_jax.exchange.unpickle import (
  Constructor,
  Known,
  pairs,
  RefusedError,
  Stateful,
)

# Plain numbers only; Python objects in an array would be pickles themselves.
_CODES = ('b1', 'i1', 'u1', *(f'{k}{n}' for k in 'iu' for n in (2, 4, 8)))
_CODES += ('f2', 'f4', 'f8')
_NAMES = ('bool', 'int8', 'uint8', 'int16', 'int32', 'int64', 'uint16')
_NAMES += ('uint32', 'uint64', 'float16', 'float32', 'float64')
_MOST_AXES = 32
_MOST_FIELDS = 100
_ENTRY_BYTES = 64  # Of a dict.

_CORES = ('numpy.core', 'numpy._core')
_BUILTINS = ('builtins', '__builtin__')
_DILLS = ('dill._dill', 'dill.dill')

_BYOL_STATE = (
  'online_params', 'target_params', 'online_state', 'target_state', 'opt_state',
)  # fmt: skip
_OPTIMIZERS = (
  ('byol.utils.optimizers', 'ScaleByLarsState'),
  ('byol.utils.optimizers', 'AddWeightDecayState'),
  *(
    (f'optax._src.{module}', f'{name}State')
    for module in ('base', 'transform', 'update', 'schedule')
    for name in ('Empty', 'Scale', 'ScaleBySchedule', 'ScaleByAdam', 'Trace')
  ),
)


def make_known(size: int) -> Known:
  """Returns the table for one file.

  Args:
    size: bytes of the file. All results together may be a few times larger but
      no more, as a file can name the same bytes repeatedly.
  """
  budget = _Budget(4 * size + 2**20)
  return {
    **_arrays(budget),
    **_containers(budget),
    **{('numpy', name): name for name in _NAMES},
  }


def _arrays(budget: '_Budget') -> dict[tuple[str, str], Constructor]:
  """Returns the constructors of arrays by module and name."""

  def encode(text: object, encoding: object = 'latin1') -> bytes:
    if encoding not in ('latin1', 'latin-1') or not isinstance(text, str):
      raise RefusedError('it encodes something else than bytes')
    budget.spend(len(text))
    return text.encode('latin1')

  def make_bytes(data: object = b'', encoding: object = 'latin1') -> bytes:
    if isinstance(data, str):
      return encode(data, encoding)
    return _bytes(data, budget)

  def rebuild(*_: object) -> Stateful:
    array = np.empty(0, np.uint8)

    def set_state(state: object) -> None:
      if not isinstance(state, tuple):
        raise RefusedError('it has an array with an unknown state')
      _, shape, dtype, fortran, data = state
      data, dtype = _bytes(data, budget), _dtype(dtype)
      shape = _shape(shape, dtype, len(data))
      # In place, as other containers may hold this array. All is checked.
      stored: Any = (1, shape, dtype, bool(fortran), data)
      array.__setstate__(stored)

    return Stateful(array, set_state)

  reconstruct = Constructor(rebuild)

  def restore(
    function: object, arguments: object, state: object, *_: object
  ) -> object:
    del arguments  # Of an empty array; the state has its content.
    if function is not reconstruct:
      raise RefusedError('it makes an array by something that is not NumPy')
    made = rebuild()
    made.set_state(state)
    return made.value

  def from_buffer(
    data: object, dtype: object, shape: object, order: object = 'C'
  ) -> np.ndarray:
    data, dtype = _bytes(data, budget), _dtype(dtype)
    shape = _shape(shape, dtype, len(data))
    if order not in ('C', 'F'):
      raise RefusedError('it has an array in an unknown order')
    return np.frombuffer(data, dtype).reshape(shape, order=order)

  def from_shape(shape: object, dtype: object, data: object) -> np.ndarray:
    return from_buffer(data, dtype, shape)

  def scalar(dtype: object, data: object) -> object:
    return from_buffer(data, dtype, ())[()]

  again = Constructor(restore)
  by_core = {
    'multiarray': {'_reconstruct': reconstruct, 'scalar': Constructor(scalar)},
    'numeric': {'_frombuffer': Constructor(from_buffer)},
  }
  return {
    **{
      (f'{core}.{module}', name): constructor
      for core in _CORES
      for module, names in by_core.items()
      for name, constructor in names.items()
    },
    ('numpy', 'dtype'): Constructor(_make_dtype),
    ('numpy', 'ndarray'): Constructor(from_shape),
    ('_codecs', 'encode'): Constructor(encode),
    **_all_pairs(_BUILTINS, ('bytes', 'bytearray'), Constructor(make_bytes)),
    **_all_pairs(_DILLS, ('_create_array',), again),
    ('jax.interpreters.xla', 'reconstruct_device_array'): again,
    ('jax._src.device_array', 'reconstruct_device_array'): again,
    ('jax._src.array', '_reconstruct_array'): again,
  }


def _containers(budget: '_Budget') -> dict[tuple[str, str], Constructor]:
  """Returns the constructors of containers by module and name."""

  def mapping(items: object = (), **_: object) -> dict[object, object]:
    if not isinstance(items, list | tuple | dict):
      raise RefusedError('it makes a mapping of something else')
    budget.spend(_ENTRY_BYTES * len(items))
    if isinstance(items, dict):
      return dict(items)
    return pairs([each for key, value in items for each in (key, value)])

  def default_mapping(
    _: object = None, items: object = ()
  ) -> dict[object, object]:
    return mapping(items)

  def namespace() -> Stateful:
    fields: dict[object, object] = {}

    def set_state(state: object) -> None:
      fields.update(mapping(state))

    return Stateful(fields, set_state)

  def listed(items: object = ()) -> list[object]:
    if not isinstance(items, list | tuple):
      raise RefusedError('it makes a list of something else')
    budget.spend(8 * len(items))
    return list(items)

  flat_mappings = ('FlatMapping', 'FlatMap', 'frozendict')
  return {
    ('collections', 'OrderedDict'): Constructor(mapping),
    **_all_pairs(
      ('haiku._src.data_structures',), flat_mappings, Constructor(mapping)
    ),
    ('argparse', 'Namespace'): Constructor(namespace),
    ('collections', 'defaultdict'): Constructor(default_mapping),
    **_all_pairs(_BUILTINS, ('set', 'frozenset'), Constructor(listed)),
    **_all_pairs(_DILLS, ('_create_namedtuple',), Constructor(_named_tuple)),
    ('byol.byol_experiment', '_ByolExperimentState'): _record(*_BYOL_STATE),
    **dict.fromkeys(_OPTIMIZERS, Constructor(_tuple)),
  }


def _all_pairs(
  modules: Sequence[str], names: Sequence[str], constructor: Constructor
) -> dict[tuple[str, str], Constructor]:
  """Returns one constructor under each name of each module."""
  return dict.fromkeys(itertools.product(modules, names), constructor)


class _Budget:
  """Number of bytes that the constructors may still allocate."""

  def __init__(self, left: int):
    self.left = left

  def spend(self, count: int) -> None:
    self.left -= count
    if self.left < 0:
      raise RefusedError('it allocates more bytes than the file has')


class _Dtype:
  """NumPy dtype whose byte order may be set later."""

  def __init__(self, code: str):
    self.value = np.dtype(code)

  def set_state(self, state: object) -> None:
    if not isinstance(state, tuple) or len(state) < 2:
      raise RefusedError('it has a dtype of an unknown kind')
    order, fields = state[1], state[2:5]
    if order not in ('<', '>', '=', '|') or any(f is not None for f in fields):
      raise RefusedError('it has a dtype of an unknown kind')
    self.value = self.value.newbyteorder(order)


def _make_dtype(code: object, *_: object) -> Stateful:
  if not isinstance(code, str) or code.lstrip('<>=|') not in _CODES + _NAMES:
    raise RefusedError('it has an array of something else than numbers')
  dtype = _Dtype(code)
  return Stateful(dtype, dtype.set_state)


def _dtype(value: object) -> np.dtype:
  if isinstance(value, str):
    value = _make_dtype(value).value
  if not isinstance(value, _Dtype):
    raise RefusedError('it has an array of no dtype')
  return value.value


def _bytes(data: object, budget: _Budget) -> bytes:
  if not isinstance(data, bytes | bytearray | str):
    raise RefusedError('it has an array of something else than bytes')
  budget.spend(len(data))
  # Python 2 wrote bytes as text.
  return data.encode('latin1') if isinstance(data, str) else bytes(data)


def _shape(shape: object, dtype: np.dtype, found: int) -> tuple[int, ...]:
  if not isinstance(shape, tuple) or len(shape) > _MOST_AXES:
    raise RefusedError('it has an array of no shape')
  if not all(isinstance(n, int) and 0 <= n < 2**48 for n in shape):
    raise RefusedError('it has an array of no shape')
  claimed = math.prod(shape) * dtype.itemsize
  if claimed != found:
    raise RefusedError(
      f'it has an array that claims {claimed} bytes where {found} are there'
    )
  return shape


def _record(*fields: str) -> Constructor:
  """Returns a constructor of a dict of these fields."""

  def make(*values: object) -> dict[str, object]:
    return dict(zip(fields, values, strict=True))

  return Constructor(make)


def _named_tuple(name: object, fields: object, *_: object) -> Constructor:
  """Constructor of a named tuple from its fields, as dill writes it."""
  del name
  if (
    not isinstance(fields, tuple | list)
    or len(fields) > _MOST_FIELDS
    or not all(isinstance(field, str) for field in fields)
  ):
    raise RefusedError('it has a named tuple without fields')
  return _record(*fields)


def _tuple(*values: object) -> tuple[object, ...]:
  return values
