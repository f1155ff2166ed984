"""Pickle reader that executes nothing that a file names.

A pickle is a program for a small stack machine, and `pickle.load` lets it call
whatever it names. Here `pickletools` parses the program and a stack machine
executes it; all that it can call is a fixed table of constructors of plain
dicts, lists, tuples, numbers, strings and NumPy arrays. A file that names
anything else is refused, and no module of that name is imported.

A subclass of `pickle.Unpickler` with its own `find_class` would not be safe: a
file could set attributes of the returned object, and make it allocate a memo of
any size.
"""

from collections.abc import Callable, Mapping
import dataclasses
import io
import pickletools
from typing import Any, BinaryIO

from semppl_jax.models.weights import WeightsError
from semppl_jax.runtime.errors import InputError

# A large checkpoint has a few hundred thousand; each may cost 200 bytes.
MOST_OPCODES = 2_000_000
_MOST_ARGUMENTS = 100
# Allowed repetitions of arguments in calls; real files have few.
_SPARE_ARGUMENTS = 10_000

_KEYS = (str, bytes, int, float, type(None))
# Integers that differ by 2**61 - 1 have equal hashes; text hashes randomly.
_FIRST_KEY, _END_KEY = -(2**31), 2**32
_BAD = (ValueError, TypeError, LookupError, OverflowError, MemoryError)


@dataclasses.dataclass(frozen=True, slots=True)
class Constructor:
  """Function that a name in the table stands for; nothing else is called."""

  make: Callable[..., object]


@dataclasses.dataclass(frozen=True, slots=True)
class Stateful:
  """Value that a pickle may give a state; `set_state` checks it.

  The machine replaces it by `value` when it leaves the stack.
  """

  value: object
  set_state: Callable[[object], None]


Known = Mapping[tuple[str, str], object]


class RefusedError(InputError):
  """A pickle does something that no file of weights needs."""


class Bounded:
  """File up to position `end`; a longer read fails before it allocates."""

  def __init__(self, file: BinaryIO, end: int):
    """Starts at the current position of `file`."""
    self._file, self._end = file, end

  def tell(self) -> int:
    """Returns the position in the file."""
    return self._file.tell()

  def read(self, count: int) -> bytes:
    """Returns `count` bytes.

    Raises:
      ValueError: the file has fewer.
    """
    left = self._end - self._file.tell()
    if not 0 <= count <= left:
      raise ValueError(f'it claims {count} bytes where {left} are left')
    return self._file.read(count)

  def readline(self) -> bytes:
    """Returns a line."""
    return self._file.readline(self._end - self._file.tell())


def load(
  file: BinaryIO | bytes | Bounded,
  origin: str,
  known: Known,
  persistent: Callable[[object], object] | None = None,
  end: int | None = None,
) -> object:
  """Reads one pickle; the file is then positioned behind it.

  Args:
    file: an open file, or the bytes of a pickle.
    origin: the file's name, for messages.
    known: a `Constructor` or a value for each allowed `(module, name)`.
    persistent: resolves persistent ids; without it they are refused.
    end: position of the end of the file.

  Raises:
    WeightsError: the pickle is damaged, or names anything that is not known.
  """
  if isinstance(file, bytes):
    file, end = io.BytesIO(file), len(file)
  if not isinstance(file, Bounded):
    file = Bounded(file, _size(file) if end is None else end)
  machine = _Machine(known, persistent)
  try:
    return machine.run(file)
  except RefusedError as error:
    raise WeightsError(f'{origin} is refused: {error}.') from None
  except _BAD as error:
    raise WeightsError(f'{origin} is damaged: {brief(error)}.') from None


def brief(value: object) -> str:
  """Returns the start of a text from a file, on one line."""
  return ' '.join(str(value)[:200].split()).rstrip('.')


def _size(file: BinaryIO) -> int:
  here = file.tell()
  end = file.seek(0, io.SEEK_END)
  file.seek(here)
  return end


class _Machine:
  """Stack machine of the pickle protocols 0 to 5, without free calls."""

  def __init__(
    self, known: Known, persistent: Callable[[object], object] | None
  ):
    self.known, self.persistent = known, persistent
    self.stack: list[object] = []
    self.below: list[list[object]] = []
    self.memo: dict[int, object] = {}
    self.opcodes = self.arguments = 0

  def run(self, file: Bounded) -> object:
    opcodes: object = pickletools.genops(file)  # pyright: ignore[reportArgumentType]
    for opcode, argument, _ in opcodes:
      self.opcodes += 1
      if self.opcodes > MOST_OPCODES:
        raise RefusedError(f'it has more than {MOST_OPCODES} opcodes')
      if opcode.name == 'STOP':
        return _plain(self.stack.pop())
      if opcode.name in _CONSTANTS:
        self.stack.append(argument)
      else:
        step = _STEPS.get(opcode.name)
        if step is None:
          raise RefusedError(f'it uses the opcode {opcode.name}')
        step(self, argument)
    raise ValueError('it ends before its last opcode')

  def mark(self, _: object) -> None:
    self.below.append(self.stack)
    self.stack = []

  def pop_mark(self, _: object = None) -> list[object]:
    items = [_plain(x) for x in self.stack]
    self.stack = self.below.pop()
    return items

  def pop(self, _: object = None) -> object:
    if self.stack:
      return _plain(self.stack.pop())
    return self.pop_mark()

  def push(self, value: object) -> None:
    self.stack.append(value)

  def memoize(self, index: int | None) -> None:
    index = len(self.memo) if index is None else index
    if not 0 <= index < _END_KEY:
      raise RefusedError('it has an invalid memo index')
    self.memo[index] = self.stack[-1]

  def take(self, count: int) -> tuple[object, ...]:
    items = tuple(self.pop() for _ in range(count))
    return items[::-1]

  def append(self, items: list[object]) -> None:
    target = self.stack[-1]
    if not isinstance(target, list):
      raise RefusedError(f'it appends to a {type(target).__name__}')
    target.extend(items)

  def set_items(self, items: list[object]) -> None:
    target = self.stack[-1]
    if not isinstance(target, dict):
      raise RefusedError(f'it sets items of a {type(target).__name__}')
    target.update(pairs(items))

  def find(self, module: object, name: object) -> None:
    if not (isinstance(module, str) and isinstance(name, str)):
      raise RefusedError('it names something that is not text')
    if (module, name) not in self.known:
      raise RefusedError(
        f'it names {brief(module)}.{brief(name)}, which no file of weights'
        ' needs; nothing was executed'
      )
    self.stack.append(self.known[module, name])

  def call(self, function: object, arguments: object) -> None:
    if not isinstance(function, Constructor):
      raise RefusedError(f'it calls a {type(function).__name__}')
    if not isinstance(arguments, tuple | list):
      raise RefusedError('it calls something without a tuple of arguments')
    if len(arguments) > _MOST_ARGUMENTS:
      raise RefusedError(f'it calls something with {len(arguments)} arguments')
    self.arguments += len(arguments)
    # Without repetition, each argument was pushed by its own opcode.
    if self.arguments > self.opcodes + _SPARE_ARGUMENTS:
      raise RefusedError('it repeats calls with the same arguments')
    self.stack.append(function.make(*arguments))

  def call_marked(self, _: object) -> None:
    function, *arguments = self.pop_mark()
    self.call(function, arguments)

  def call_named(self, names: str) -> None:
    arguments = self.pop_mark()
    self.find(*names.split(' ', 1))
    self.call(self.stack.pop(), arguments)

  def build(self, _: object) -> None:
    state = self.pop()
    target = self.stack[-1]
    if isinstance(target, Stateful):
      target.set_state(state)
    elif not isinstance(target, dict):
      raise RefusedError(f'it sets the state of a {type(target).__name__}')
    # PyTorch's versions of modules, which are not needed. Any other state is
    # refused: dropping it might drop weights.
    elif state and not (
      isinstance(state, dict) and len(state) == 1 and '_metadata' in state
    ):
      raise RefusedError('it has a dict with an unknown state')

  def persist(self, name: object) -> None:
    if self.persistent is None:
      raise RefusedError('it refers to objects outside the file')
    self.stack.append(self.persistent(name))


def pairs(items: list[object]) -> dict[object, object]:
  """Returns a dict of alternating keys and values.

  Raises:
    RefusedError: a key is a container, whose hash may take forever, or a
      large number, as many of these can share one hash.
  """
  if len(items) % 2:
    raise ValueError('a key has no value')
  keys = items[::2]
  for key in keys:
    if not isinstance(key, _KEYS):
      raise RefusedError(f'it has a {type(key).__name__} as a key')
    if isinstance(key, int) and not _FIRST_KEY <= key < _END_KEY:
      raise RefusedError('it has a number of more than 32 bits as a key')
  return dict(zip(keys, items[1::2], strict=True))


def _plain(value: object) -> object:
  return value.value if isinstance(value, Stateful) else value


# Opcodes that push their own argument.
_CONSTANTS = {
  'INT', 'BININT', 'BININT1', 'BININT2', 'LONG', 'LONG1', 'LONG4', 'FLOAT',
  'BINFLOAT', 'STRING', 'BINSTRING', 'SHORT_BINSTRING', 'UNICODE', 'BINUNICODE',
  'SHORT_BINUNICODE', 'BINUNICODE8', 'BINBYTES', 'SHORT_BINBYTES', 'BINBYTES8',
  'BYTEARRAY8',
}  # fmt: skip
# A set becomes a list, which hashes nothing.
_STEPS: dict[str, Callable[[_Machine, Any], object]] = {
  **dict.fromkeys(('PROTO', 'FRAME'), lambda m, _: None),
  'MARK': _Machine.mark,
  'POP': _Machine.pop,
  'POP_MARK': _Machine.pop_mark,
  'DUP': lambda m, _: m.push(m.stack[-1]),
  'NONE': lambda m, _: m.push(None),
  'NEWTRUE': lambda m, _: m.push(True),
  'NEWFALSE': lambda m, _: m.push(False),
  'EMPTY_TUPLE': lambda m, _: m.push(()),
  'TUPLE1': lambda m, _: m.push(m.take(1)),
  'TUPLE2': lambda m, _: m.push(m.take(2)),
  'TUPLE3': lambda m, _: m.push(m.take(3)),
  'TUPLE': lambda m, _: m.push(tuple(m.pop_mark())),
  **dict.fromkeys(('EMPTY_LIST', 'EMPTY_SET'), lambda m, _: m.push([])),
  **dict.fromkeys(('LIST', 'FROZENSET'), lambda m, _: m.push(m.pop_mark())),
  'APPEND': lambda m, _: m.append([m.pop()]),
  **dict.fromkeys(('APPENDS', 'ADDITEMS'), lambda m, _: m.append(m.pop_mark())),
  'EMPTY_DICT': lambda m, _: m.push({}),
  'DICT': lambda m, _: m.push(pairs(m.pop_mark())),
  'SETITEM': lambda m, _: m.set_items(list(m.take(2))),
  'SETITEMS': lambda m, _: m.set_items(m.pop_mark()),
  **dict.fromkeys(
    ('PUT', 'BINPUT', 'LONG_BINPUT', 'MEMOIZE'), _Machine.memoize
  ),
  **dict.fromkeys(
    ('GET', 'BINGET', 'LONG_BINGET'), lambda m, index: m.push(m.memo[index])
  ),
  'GLOBAL': lambda m, names: m.find(*names.split(' ', 1)),
  'STACK_GLOBAL': lambda m, _: m.find(*m.take(2)),
  **dict.fromkeys(('REDUCE', 'NEWOBJ'), lambda m, _: m.call(*m.take(2))),
  'OBJ': _Machine.call_marked,
  'INST': _Machine.call_named,
  'BUILD': _Machine.build,
  'PERSID': _Machine.persist,
  'BINPERSID': lambda m, _: m.persist(m.pop()),
}
