"""The constructors that files of weights name, as plain dicts and arrays.

Those of NumPy, of dill's and old JAX's arrays, of Haiku's mappings, and of the
named tuples of DeepMind's experiments. None of these modules is imported, and
none need be installed.
"""

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

# Plain numbers; above all, no Python objects.
_CODES = ('b1', 'i1', 'u1', *(f'{k}{n}' for k in 'iu' for n in (2, 4, 8)))
_CODES += ('f2', 'f4', 'f8')
_NAMES = ('bool', 'int8', 'uint8', 'int16', 'int32', 'int64', 'uint16')
_NAMES += ('uint32', 'uint64', 'float16', 'float32', 'float64')
_MOST_AXES = 32
_MOST_FIELDS = 100
_ENTRY = 64  # Bytes that an entry of a dict takes.

_CORES = ('numpy.core', 'numpy._core')
_BUILTINS = ('builtins', '__builtin__')
_DILLS = ('dill._dill', 'dill.dill')

_BYOL_STATE = (
  'online_params',
  'target_params',
  'online_state',
  'target_state',
  'opt_state',
)


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
    size: bytes of the file. What all calls together make may exceed it a few
      times but not without end: a file can name the same bytes over and over.
  """
  budget = _Budget(4 * size + 2**20)
  made = (*_arrays(budget), *_containers(budget))
  return {
    **{(module, name): make for module, name, make in made},
    **{('numpy', name): name for name in _NAMES},
  }


def _arrays(budget: '_Budget') -> list[tuple[str, str, Constructor]]:
  """The modules and names that stand for arrays, and what they make."""

  def encode(text: Any, encoding: Any = 'latin1') -> bytes:
    if encoding not in ('latin1', 'latin-1') or not isinstance(text, str):
      raise RefusedError('it encodes something else than bytes')
    budget.spend(len(text))
    return text.encode('latin1')

  def made_bytes(data: Any = b'', encoding: Any = 'latin1') -> bytes:
    if isinstance(data, str):
      return encode(data, encoding)
    return _bytes(data, budget)

  def rebuild(*_: Any) -> Stateful:
    array = np.empty(0, np.uint8)

    def set_state(state: Any) -> None:
      _, shape, dtype, fortran, data = state
      data, dtype = _bytes(data, budget), _dtype(dtype)
      shape = _shape(shape, dtype, len(data))
      # In place: others may hold this very array. All of it is checked.
      stored: Any = (1, shape, dtype, bool(fortran), data)
      array.__setstate__(stored)

    return Stateful(array, set_state)

  reconstruct = Constructor(rebuild)

  def restore(function: Any, arguments: Any, state: Any, *_: Any) -> np.ndarray:
    del arguments  # Of an empty array; the state says what it becomes.
    if function is not reconstruct:
      raise RefusedError('it makes an array by something that is not NumPy')
    made = rebuild()
    made.set_state(state)
    return made.value

  def from_buffer(
    data: Any, dtype: Any, shape: Any, order: Any = 'C'
  ) -> np.ndarray:
    data, dtype = _bytes(data, budget), _dtype(dtype)
    shape = _shape(shape, dtype, len(data))
    if order not in ('C', 'F'):
      raise RefusedError('it has an array in an unknown order')
    return np.frombuffer(data, dtype).reshape(shape, order=order)

  def from_shape(shape: Any, dtype: Any, data: Any) -> np.ndarray:
    return from_buffer(data, dtype, shape)

  def scalar(dtype: Any, data: Any) -> Any:
    return from_buffer(data, dtype, ())[()]

  again = Constructor(restore)
  return [
    *((f'{core}.multiarray', '_reconstruct', reconstruct) for core in _CORES),
    *((f'{core}.multiarray', 'scalar', Constructor(scalar)) for core in _CORES),
    *(
      (f'{core}.numeric', '_frombuffer', Constructor(from_buffer))
      for core in _CORES
    ),
    ('numpy', 'dtype', Constructor(_make_dtype)),
    ('numpy', 'ndarray', Constructor(from_shape)),
    ('_codecs', 'encode', Constructor(encode)),
    *(
      (module, name, Constructor(made_bytes))
      for module in _BUILTINS
      for name in ('bytes', 'bytearray')
    ),
    *((dill, '_create_array', again) for dill in _DILLS),
    ('jax.interpreters.xla', 'reconstruct_device_array', again),
    ('jax._src.device_array', 'reconstruct_device_array', again),
    ('jax._src.array', '_reconstruct_array', again),
  ]


def _containers(budget: '_Budget') -> list[tuple[str, str, Constructor]]:
  """The modules and names that stand for containers, and what they make."""

  def mapping(items: Any = (), **_: Any) -> dict[Any, Any]:
    if not isinstance(items, list | tuple | dict):
      raise RefusedError('it makes a mapping of something else')
    budget.spend(_ENTRY * len(items))
    if isinstance(items, dict):
      return dict(items)
    return pairs([each for key, value in items for each in (key, value)])

  def default_mapping(_: Any = None, items: Any = ()) -> dict[Any, Any]:
    return mapping(items)

  def namespace() -> Stateful:
    fields: dict[Any, Any] = {}

    def set_state(state: Any) -> None:
      fields.update(mapping(state))

    return Stateful(fields, set_state)

  def listed(items: Any = ()) -> list[Any]:
    if not isinstance(items, list | tuple):
      raise RefusedError('it makes a list of something else')
    budget.spend(8 * len(items))
    return list(items)

  mappings = (
    ('collections', 'OrderedDict'),
    ('haiku._src.data_structures', 'FlatMapping'),
    ('haiku._src.data_structures', 'FlatMap'),
    ('haiku._src.data_structures', 'frozendict'),
  )
  return [
    *((module, name, Constructor(mapping)) for module, name in mappings),
    ('argparse', 'Namespace', Constructor(namespace)),
    ('collections', 'defaultdict', Constructor(default_mapping)),
    *(
      (module, name, Constructor(listed))
      for module in _BUILTINS
      for name in ('set', 'frozenset')
    ),
    *(
      (dill, '_create_namedtuple', Constructor(_named_tuple)) for dill in _DILLS
    ),
    (
      'byol.byol_experiment',
      '_ByolExperimentState',
      Constructor(_record(*_BYOL_STATE)),
    ),
    *((module, name, Constructor(_tuple)) for module, name in _OPTIMIZERS),
  ]


class _Budget:
  """Bytes that one file may still be turned into."""

  def __init__(self, left: int):
    self.left = left

  def spend(self, count: int) -> None:
    self.left -= count
    if self.left < 0:
      raise RefusedError('it makes more bytes than the file has')


class _Dtype:
  """A NumPy type that may still be told its byte order."""

  def __init__(self, code: str):
    self.value = np.dtype(code)

  def set_state(self, state: Any) -> None:
    if not isinstance(state, tuple) or len(state) < 2:
      raise RefusedError('it has a dtype of an unknown kind')
    order, fields = state[1], state[2:5]
    if order not in ('<', '>', '=', '|') or any(f is not None for f in fields):
      raise RefusedError('it has a dtype of an unknown kind')
    self.value = self.value.newbyteorder(order)


def _make_dtype(code: Any, *_: Any) -> Stateful:
  if not isinstance(code, str) or code.lstrip('<>=|') not in _CODES + _NAMES:
    raise RefusedError('it has an array of something else than numbers')
  dtype = _Dtype(code)
  return Stateful(dtype, dtype.set_state)


def _dtype(value: Any) -> np.dtype:
  if isinstance(value, str):
    value = _make_dtype(value).value
  if not isinstance(value, _Dtype):
    raise RefusedError('it has an array of no dtype')
  return value.value


def _bytes(data: Any, budget: _Budget) -> bytes:
  if not isinstance(data, bytes | bytearray | str):
    raise RefusedError('it has an array of something else than bytes')
  budget.spend(len(data))
  # Python 2 wrote bytes as text.
  return data.encode('latin1') if isinstance(data, str) else bytes(data)


def _shape(shape: Any, dtype: np.dtype, found: int) -> tuple[int, ...]:
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


def _record(*fields: str) -> Any:
  """Makes the dict of a named tuple's fields."""

  def make(*values: Any) -> dict[str, Any]:
    return dict(zip(fields, values, strict=True))

  return make


def _named_tuple(name: Any, fields: Any, *_: Any) -> Constructor:
  """What dill writes for a named tuple: its fields, and no code."""
  del name
  if (
    not isinstance(fields, tuple | list)
    or len(fields) > _MOST_FIELDS
    or not all(isinstance(field, str) for field in fields)
  ):
    raise RefusedError('it has a named tuple without fields')
  return Constructor(_record(*fields))


def _tuple(*values: Any) -> tuple[Any, ...]:
  return values
