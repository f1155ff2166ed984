"""Reader of PyTorch files, without PyTorch and without executing anything.

`torch.save` has two formats: a zip archive (a pickle and one entry for each
storage), and before PyTorch 1.6 a sequence of pickles followed by the storages.
Tensors become NumPy arrays: views of their storage by offset, size and stride,
all checked against its size. bfloat16 becomes float32.
"""

from collections.abc import Callable
import math
import pathlib
import struct
from typing import BinaryIO, NamedTuple
import zipfile

import numpy as np

from semppl_jax.exchange import unpickle, unpickle_types
from semppl_jax.exchange.unpickle import (
  Bounded,
  Constructor,
  Known,
  RefusedError,
)
from semppl_jax.models.weights import WeightsError

ZIP_START = b'PK\x03\x04'
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
# The pickle of that number: protocol 2, LONG1, STOP.
LEGACY_START = b'\x80\x02\x8a\x0a' + LEGACY_MAGIC.to_bytes(10, 'little') + b'.'

_TYPES = {
  'Float': 'f4',
  'Half': 'f2',
  'BFloat16': 'bfloat16',
  'Double': 'f8',
  'Long': 'i8',
  'Int': 'i4',
  'Short': 'i2',
  'Char': 'i1',
  'Byte': 'u1',
  'Bool': 'b1',
  'Untyped': 'u1',
}
_MOST_AXES = 32
# Raised for damaged files; RuntimeError is an encrypted entry of a zip archive.
_BAD = (
  OSError,
  zipfile.BadZipFile,
  LookupError,
  ValueError,
  TypeError,
  RuntimeError,
  struct.error,
)


class _Storage(NamedTuple):
  """Values of tensors; None in a first pass over a legacy file."""

  values: np.ndarray | None


class _StorageRef(NamedTuple):
  """Reference of a pickle to a storage.

  Attributes:
    code: type of its values.
    key: its name in the file.
    count: number of values.
    view: `(offset, count)` of the part that is used, or None for all.
  """

  code: str
  key: str
  count: int
  view: tuple[int, int] | None


def read(path: pathlib.Path) -> object:
  """Reads a `.pth`, `.pt` or `.pth.tar` file.

  Returns:
    Plain containers with read-only NumPy arrays.

  Raises:
    WeightsError: it is damaged, or names anything that weights do not need.
  """
  try:
    with path.open('rb') as file:
      size = path.stat().st_size
      if file.read(len(ZIP_START)) == ZIP_START:
        return _read_zip(file, str(path), size)
      file.seek(0)
      return _read_legacy(file, str(path), size)
  except WeightsError:
    raise
  except RefusedError as error:
    raise WeightsError(f'{path} is refused: {error}.') from None
  except _BAD as error:
    raise WeightsError(f'{path} is damaged: {unpickle.brief(error)}.') from None


def read_safetensors(
  path: pathlib.Path,
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
  """Reads a `.safetensors` file.

  Returns:
    The arrays, bfloat16 as float32, and the metadata of the file.

  Raises:
    WeightsError: it is damaged.
  """
  import safetensors

  try:
    with safetensors.safe_open(path, framework='numpy') as file:
      arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
      metadata = file.metadata() or {}
  except (safetensors.SafetensorError, TypeError, OSError) as error:
    raise WeightsError(f'{path} is damaged: {unpickle.brief(error)}.') from None
  return {
    name: value.astype(np.float32) if value.dtype.kind == 'V' else value
    for name, value in arrays.items()
  }, metadata


def _read_zip(file: BinaryIO, origin: str, size: int) -> object:
  with zipfile.ZipFile(file) as archive:
    entries = {entry.filename: entry for entry in archive.infolist()}
    roots = [name for name in entries if name.endswith('data.pkl')]
    if len(roots) != 1:
      raise WeightsError(f'{origin} is a zip archive but not a PyTorch file.')
    root = roots[0].removesuffix('data.pkl')
    left = size
    storages: dict[str, _Storage] = {}

    def entry(name: str) -> bytes:
      nonlocal left
      info = entries.get(root + name)
      if info is None:
        raise ValueError(f'storage {unpickle.brief(name)} not found')
      left -= info.file_size
      if info.compress_type != zipfile.ZIP_STORED or left < 0:
        raise RefusedError(f'{unpickle.brief(name)} is larger than the file')
      return archive.read(info)

    order = '<'
    if f'{root}byteorder' in entries and entry('byteorder') == b'big':
      order = '>'

    def persistent(name: object) -> _Storage:
      ref = _parse(name)
      if ref.key not in storages:
        data = entry(f'data/{ref.key}')
        storages[ref.key] = _Storage(_values(data, ref, order))
      return _part(storages[ref.key], ref)

    program = entry('data.pkl')
    return unpickle.load(program, origin, _known(size), persistent)


def _read_legacy(file: BinaryIO, origin: str, size: int) -> object:
  def load(
    persistent: Callable[[object], object] | None = None,
  ) -> object:
    return unpickle.load(Bounded(file, size), origin, _known(size), persistent)

  if load() != LEGACY_MAGIC:
    raise WeightsError(f'{origin} is not a PyTorch file.')
  load()  # Version of the protocol.
  system = load()
  if not isinstance(system, dict) or system.get('little_endian') is not True:
    raise WeightsError(f'{origin} was written in an unknown byte order.')
  start = file.tell()
  # Storages follow the pickle that refers to them, so it is read twice.
  refs: dict[str, _StorageRef] = {}

  def collect(name: object) -> _Storage:
    ref = _parse(name)
    refs[ref.key] = ref
    return _Storage(None)

  load(collect)
  storages = {}
  keys = load()
  if not isinstance(keys, list):
    raise ValueError('it has no list of storages')
  for key in keys:
    (count,) = struct.unpack('<q', Bounded(file, size).read(8))
    ref = refs[key]._replace(count=count)
    width = np.dtype(_stored(ref.code)).itemsize
    data = Bounded(file, size).read(count * width)
    storages[key] = _Storage(_values(data, ref, '<'))
  file.seek(start)

  def persistent(name: object) -> _Storage:
    ref = _parse(name)
    return _part(storages[ref.key], ref)

  return load(persistent)


def _known(size: int) -> Known:
  """Returns all that a pickle of PyTorch may name."""
  parameter = Constructor(lambda tensor, *_: tensor)
  tensor = Constructor(_tensor)
  return {
    **unpickle_types.make_known(size),
    **{('torch', f'{name}Storage'): code for name, code in _TYPES.items()},
    ('torch.storage', 'UntypedStorage'): 'u1',
    ('torch._utils', '_rebuild_tensor'): tensor,
    ('torch._utils', '_rebuild_tensor_v2'): tensor,
    ('torch._utils', '_rebuild_parameter'): parameter,
    ('torch._utils', '_rebuild_parameter_with_state'): parameter,
    ('torch', 'Size'): Constructor(lambda sizes=(): sizes),
    ('torch', 'device'): Constructor(lambda *name: name),
  }


def _parse(name: object) -> _StorageRef:
  if not isinstance(name, tuple) or len(name) not in (5, 6):
    raise RefusedError('it refers to something that is not a storage')
  kind, code, key, _, count, *view = name
  known = kind == 'storage' and code in _TYPES.values()
  if not (known and isinstance(key, str) and isinstance(count, int)):
    raise RefusedError('it refers to something that is not a storage')
  part = None
  if view and view[0] is not None:
    _, offset, length = view[0]
    part = (int(offset), int(length))
  return _StorageRef(code, key, count, part)


def _stored(code: str) -> str:
  return 'u2' if code == 'bfloat16' else code


def _values(data: bytes, ref: _StorageRef, order: str) -> np.ndarray:
  dtype = np.dtype(order + _stored(ref.code))
  if ref.count * dtype.itemsize != len(data):
    raise RefusedError(
      f'storage {unpickle.brief(ref.key)} claims {ref.count} values'
      f' where {len(data)} bytes are there'
    )
  values = np.frombuffer(data, dtype)
  if ref.code == 'bfloat16':
    # The upper half of a float32.
    return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
  return values


def _part(storage: _Storage, ref: _StorageRef) -> _Storage:
  if ref.view is None or storage.values is None:
    return storage
  offset, count = ref.view
  if not 0 <= offset <= offset + count <= len(storage.values):
    raise RefusedError('it has a view outside of its storage')
  return _Storage(storage.values[offset : offset + count])


def _tensor(
  storage: object, offset: object, size: object, stride: object, *_: object
) -> np.ndarray | None:
  """Returns a view of a storage; checked, as NumPy would read beyond it."""
  if not isinstance(storage, _Storage):
    raise RefusedError('it has a tensor without a storage')
  if (
    not (isinstance(size, tuple | list) and isinstance(stride, tuple | list))
    or len(size) != len(stride)
    or len(size) > _MOST_AXES
  ):
    raise RefusedError('it has a tensor without a shape')
  numbers = (*size, *stride)
  if not isinstance(offset, int) or not all(
    isinstance(n, int) and 0 <= n < 2**48 for n in (offset, *numbers)
  ):
    raise RefusedError('it has a tensor without a shape')
  if storage.values is None:
    return None
  count = math.prod(size)
  last = offset + sum(
    (n - 1) * step for n, step in zip(size, stride, strict=True)
  )
  # With strides of 0, a few bytes could claim any amount of memory.
  if count and (count > len(storage.values) or last >= len(storage.values)):
    raise RefusedError(
      f'it has a tensor of shape {tuple(size)} in a storage of'
      f' {len(storage.values)} values'
    )
  width = storage.values.itemsize
  return np.lib.stride_tricks.as_strided(
    storage.values[offset:] if count else storage.values[:0],
    tuple(size),
    tuple(step * width for step in stride),
    writeable=False,
  )
