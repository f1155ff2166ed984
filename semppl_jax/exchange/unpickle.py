"""Reads pickles without running anything that they name.

A pickle is a program for a small stack machine, and `pickle.load` lets it call
whatever it names. Here `pickletools` takes the program apart and this machine
carries it out; all that it can call is a fixed table of constructors, which
make plain dicts, lists, tuples, numbers, strings and NumPy arrays. A file that
names anything else is refused, and no module of that name is imported.

A subclass of `pickle.Unpickler` with a `find_class` of its own would not do: it
lets a file set attributes of what that returns, and allocates as large a memo
as a file asks for.
"""

from collections.abc import Callable, Mapping
import dataclasses
import io
import pickletools
from typing import Any, BinaryIO

from semppl_jax.models.weights import WeightsError
from semppl_jax.runtime.errors import InputError

# A large checkpoint has some hundred thousand; each may cost about 200 bytes.
MOST_OPCODES = 2_000_000
_MOST_ARGUMENTS = 100
# Calls of one tuple of arguments over and over, which few files have.
_SPARE_ARGUMENTS = 10_000

_KEYS = (str, bytes, int, float, type(None))
# Integers that differ by 2**61 - 1 have the same hash; text's is random.
_FIRST_KEY, _END_KEY = -(2**31), 2**32
_BAD = (ValueError, TypeError, LookupError, OverflowError, MemoryError)


@dataclasses.dataclass(frozen=True, slots=True)
class Constructor:
  """What a name of the table stands for: the only thing that can be called."""

  make: Callable[..., Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Stateful:
  """A made value that takes a state; `set_state` checks it.

  What is kept is `value`: the machine unwraps it where it leaves the stack.
  """

  value: Any
  set_state: Callable[[Any], None]


Known = Mapping[tuple[str, str], Any]


class RefusedError(InputError):
  """A pickle does what a file of weights has no need of."""


class Bounded:
  """The part of a file up to `end`; a longer read is refused before it."""

  def __init__(self, file: BinaryIO, end: int):
    """Reads `file` from where it is."""
    self._file, self._end = file, end

  def tell(self) -> int:
    """The position in the file."""
    return self._file.tell()

  def read(self, count: int) -> bytes:
    """Returns `count` bytes.

    Raises:
      ValueError: the file does not have so many.
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
  persistent: Callable[[Any], Any] | None = None,
  end: int | None = None,
) -> Any:
  """Reads one pickle and leaves the file behind it.

  Args:
    file: an open file, or the bytes of a pickle.
    origin: the file's name, for messages.
    known: what each `(module, name)` stands for: a `Constructor`, or a value.
    persistent: what a persistent id stands for; without it they are refused.
    end: where the file ends.

  Raises:
    WeightsError: the pickle is damaged, or names what is not known.
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


def brief(value: Any) -> str:
  """The start of a text that comes from a file, on one line."""
  return ' '.join(str(value)[:200].split()).rstrip('.')


def _size(file: BinaryIO) -> int:
  here = file.tell()
  end = file.seek(0, io.SEEK_END)
  file.seek(here)
  return end


class _Machine:
  """The stack machine of the pickle protocols 0 to 5, without calls."""

  def __init__(self, known: Known, persistent: Callable[[Any], Any] | None):
    self.known, self.persistent = known, persistent
    self.stack: list[Any] = []
    self.below: list[list[Any]] = []
    self.memo: dict[int, Any] = {}
    self.opcodes = self.arguments = 0

  def run(self, file: Bounded) -> Any:
    opcodes: Any = pickletools.genops(file)  # pyright: ignore[reportArgumentType]
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

  def mark(self, _: Any) -> None:
    self.below.append(self.stack)
    self.stack = []

  def pop_mark(self, _: Any = None) -> list[Any]:
    items = [_plain(x) for x in self.stack]
    self.stack = self.below.pop()
    return items

  def pop(self, _: Any = None) -> Any:
    if self.stack:
      return _plain(self.stack.pop())
    return self.pop_mark()

  def push(self, value: Any) -> None:
    self.stack.append(value)

  def memoise(self, index: int | None) -> None:
    index = len(self.memo) if index is None else index
    if not 0 <= index < _END_KEY:
      raise RefusedError('it has a memo of an index that no file has')
    self.memo[index] = self.stack[-1]

  def recall(self, index: int) -> None:
    self.stack.append(self.memo[index])

  def take(self, count: int) -> tuple[Any, ...]:
    items = tuple(self.pop() for _ in range(count))
    return items[::-1]

  def append(self, items: list[Any]) -> None:
    target = self.stack[-1]
    if not isinstance(target, list):
      raise RefusedError(f'it appends to a {type(target).__name__}')
    target.extend(items)

  def set_items(self, items: list[Any]) -> None:
    target = self.stack[-1]
    if not isinstance(target, dict):
      raise RefusedError(f'it sets items of a {type(target).__name__}')
    target.update(pairs(items))

  def find(self, module: Any, name: Any) -> None:
    if not (isinstance(module, str) and isinstance(name, str)):
      raise RefusedError('it names something that is not text')
    if (module, name) not in self.known:
      raise RefusedError(
        f'it names {brief(module)}.{brief(name)}, which no file of weights has'
        ' to; nothing of it was run'
      )
    self.stack.append(self.known[module, name])

  def call(self, function: Any, arguments: Any) -> None:
    if not isinstance(function, Constructor):
      raise RefusedError(f'it calls a {type(function).__name__}')
    if not isinstance(arguments, tuple | list):
      raise RefusedError('it calls something without a tuple of arguments')
    if len(arguments) > _MOST_ARGUMENTS:
      raise RefusedError(f'it calls something with {len(arguments)} arguments')
    self.arguments += len(arguments)
    # Otherwise each was pushed by an opcode of its own.
    if self.arguments > self.opcodes + _SPARE_ARGUMENTS:
      raise RefusedError('it calls with the same arguments over and over')
    self.stack.append(function.make(*arguments))

  def call_two(self, _: Any) -> None:
    self.call(*self.take(2))

  def call_marked(self, _: Any) -> None:
    function, *arguments = self.pop_mark()
    self.call(function, arguments)

  def call_named(self, names: str) -> None:
    arguments = self.pop_mark()
    self.find(*names.split(' ', 1))
    self.call(self.stack.pop(), arguments)

  def build(self, _: Any) -> None:
    state = self.pop()
    target = self.stack[-1]
    if isinstance(target, Stateful):
      target.set_state(state)
    elif not isinstance(target, dict):
      raise RefusedError(f'it sets the state of a {type(target).__name__}')
    # PyTorch's versions of modules, which nothing needs. Of another state the
    # content is unknown, and dropping it might drop weights.
    elif state and not (
      isinstance(state, dict) and len(state) == 1 and '_metadata' in state
    ):
      raise RefusedError('it has a dict with a state of an unknown kind')

  def persist(self, name: Any) -> None:
    if self.persistent is None:
      raise RefusedError('it refers to objects outside of it')
    self.stack.append(self.persistent(name))


def pairs(items: list[Any]) -> dict[Any, Any]:
  """Keys and values in turn, as a dict.

  Raises:
    RefusedError: a key is a container, whose hash may take forever, or a
      large number, of which many can have one hash.
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


def _plain(value: Any) -> Any:
  return value.value if isinstance(value, Stateful) else value


# Opcodes that push what stands behind them.
_CONSTANTS = frozenset(
  (
    'INT',
    'BININT',
    'BININT1',
    'BININT2',
    'LONG',
    'LONG1',
    'LONG4',
    'FLOAT',
    'BINFLOAT',
    'STRING',
    'BINSTRING',
    'SHORT_BINSTRING',
    'UNICODE',
    'BINUNICODE',
    'SHORT_BINUNICODE',
    'BINUNICODE8',
    'BINBYTES',
    'SHORT_BINBYTES',
    'BINBYTES8',
    'BYTEARRAY8',
  )
)
_STEPS: dict[str, Callable[[_Machine, Any], Any]] = {
  'PROTO': lambda m, _: None,
  'FRAME': lambda m, _: None,
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
  'EMPTY_LIST': lambda m, _: m.push([]),
  'LIST': lambda m, _: m.push(m.pop_mark()),
  'APPEND': lambda m, _: m.append([m.pop()]),
  'APPENDS': lambda m, _: m.append(m.pop_mark()),
  'EMPTY_DICT': lambda m, _: m.push({}),
  'DICT': lambda m, _: m.push(pairs(m.pop_mark())),
  'SETITEM': lambda m, _: m.set_items(list(m.take(2))),
  'SETITEMS': lambda m, _: m.set_items(m.pop_mark()),
  # Sets are of no use here: a list takes what they hold and hashes nothing.
  'EMPTY_SET': lambda m, _: m.push([]),
  'ADDITEMS': lambda m, _: m.append(m.pop_mark()),
  'FROZENSET': lambda m, _: m.push(m.pop_mark()),
  'PUT': _Machine.memoise,
  'BINPUT': _Machine.memoise,
  'LONG_BINPUT': _Machine.memoise,
  'MEMOIZE': _Machine.memoise,
  'GET': _Machine.recall,
  'BINGET': _Machine.recall,
  'LONG_BINGET': _Machine.recall,
  'GLOBAL': lambda m, names: m.find(*names.split(' ', 1)),
  'STACK_GLOBAL': lambda m, _: m.find(*m.take(2)),
  'REDUCE': _Machine.call_two,
  'NEWOBJ': _Machine.call_two,
  'OBJ': _Machine.call_marked,
  'INST': _Machine.call_named,
  'BUILD': _Machine.build,
  'PERSID': _Machine.persist,
  'BINPERSID': lambda m, _: m.persist(m.pop()),
}
