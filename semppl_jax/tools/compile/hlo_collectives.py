"""Bytes that a compiled program moves between devices, read from its text.

A collective counts the larger of its operands and its results on one device:
the results of an all-gather, the operands of a reduce-scatter. Sizes are those
of the arrays, without the padding of their layouts. A `-start` counts and its
`-done` does not. The body of a loop counts once per trip. Trips are those of
the compiler's annotation, or else the constant that the condition compares the
counter with: JAX counts loops from zero by one. Without either, a body counts
once, and `unknown_trips` counts its collectives.
"""

import collections
from collections.abc import Iterator
import math
import re
from typing import NamedTuple

KINDS = (
  'all-reduce',
  'all-gather',
  'reduce-scatter',
  'all-to-all',
  'collective-permute',
)

_BITS = {
  'pred': 8, 's4': 4, 'u4': 4, 's8': 8, 'u8': 8, 's16': 16, 'u16': 16,
  's32': 32, 'u32': 32, 's64': 64, 'u64': 64, 'f16': 16, 'bf16': 16,
  'f32': 32, 'f64': 64, 'c64': 64, 'c128': 128,
}  # fmt: skip
_COMPUTATION = re.compile(r'^(ENTRY )?%?([\w.\-]+) \(.*\{$')
_INSTRUCTION = re.compile(r'^\s+(ROOT )?%?([\w.\-]+) = (.*)$')
_DEFINITION = re.compile(r'^(.*?) ?\b([a-z][\w\-]*)\((.*)$')
_LAYOUT = re.compile(r'\{[^{}]*\}')
_ARRAY = re.compile(r'\b([a-z]+\d*\w*)\[([\d,<=]*)\]')
_CONTEXT = re.compile(r'u32\[\]')
_NAME = re.compile(r'[\w.\-]+')
_CALLED = re.compile(
  r'(?:to_apply|calls|body|condition|true_computation|false_computation)='
  r'%?([\w.\-]+)'
)
_BRANCHES = re.compile(r'branch_computations=\{([^}]*)\}')
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')


class Collectives(NamedTuple):
  """Collectives of one device in one run of a program.

  Attributes:
    bytes: bytes of each kind that occurs.
    count: number of each kind.
    unknown_trips: collectives in loops of unknown length, each counted once.
  """

  bytes: dict[str, int]
  count: dict[str, int]
  unknown_trips: int


def count(hlo: str) -> Collectives:
  """Sums the collectives of a compiled module's text."""
  program = _parse(hlo)
  size, number = collections.Counter(), collections.Counter()
  unknown = 0
  for name, (trips, known) in _trips(program).items():
    instructions = program.computations[name]
    for instruction in instructions.values():
      kind = instruction.opcode.removesuffix('-start')
      if kind in KINDS:
        size[kind] += trips * _bytes_moved(instruction, instructions)
        number[kind] += trips
        unknown += not known
  return Collectives(dict(size), dict(number), unknown)


class _Instruction(NamedTuple):
  result: str
  opcode: str
  operands: list[str]
  text: str
  root: bool


class _Program(NamedTuple):
  computations: dict[str, dict[str, _Instruction]]
  entry: str


def _parse(hlo: str) -> _Program:
  computations, entry, current = {}, '', {}
  for line in hlo.splitlines():
    if opened := _COMPUTATION.match(line):
      current = computations[opened[2]] = {}
      entry = opened[2] if opened[1] else entry
    elif match := _INSTRUCTION.match(line):
      current[match[2]] = _instruction(match[3], bool(match[1]))
  return _Program(computations, entry)


def _instruction(text: str, root: bool) -> _Instruction:
  # Layouts have brackets, and names that look like opcodes.
  match = _DEFINITION.match(_LAYOUT.sub('', text))
  if match is None:
    return _Instruction(text, '', [], text, root)
  arguments = match[3].partition('), ')[0]
  operands = re.findall(r'%([\w.\-]+)', arguments) or _NAME.findall(arguments)
  return _Instruction(match[1], match[2], operands, text, root)


def _bytes_moved(
  instruction: _Instruction, others: dict[str, _Instruction]
) -> int:
  """The larger of operands and results."""
  operands = sum(
    _size(others[name].result)
    for name in instruction.operands
    if name in others
  )
  results = _size(instruction.result)
  if instruction.opcode in ('all-gather-start', 'collective-permute-start'):
    # Theirs repeat the operands, and may have two scalars of context.
    results -= operands + _size(','.join(_CONTEXT.findall(instruction.result)))
  return max(operands, results)


def _size(shapes: str) -> int:
  """Bytes of all arrays in a shape or tuple of shapes."""
  bits = 0
  for kind, dimensions in _ARRAY.findall(shapes):
    width = 8 if kind.startswith('f8') else _BITS.get(kind, 0)
    sizes = (int(d.removeprefix('<=')) for d in dimensions.split(',') if d)
    bits += width * math.prod(sizes)
  return -(-bits // 8)


def _trips(program: _Program) -> dict[str, tuple[int, bool]]:
  """Runs of each computation, and True if their number is known."""
  total = collections.Counter()
  certain = {}

  def visit(name: str, trips: int, known: bool) -> None:
    total[name] += trips
    certain[name] = certain.get(name, True) and known
    for instruction in program.computations.get(name, {}).values():
      for called, times in _calls(instruction, program):
        visit(called, trips * (times or 1), known and times is not None)

  visit(program.entry, 1, True)
  return {
    name: (trips, certain[name])
    for name, trips in total.items()
    if name in program.computations
  }


def _calls(
  instruction: _Instruction, program: _Program
) -> Iterator[tuple[str, int | None]]:
  """Computations that an instruction runs, and their runs (None: unknown)."""
  if instruction.opcode.endswith(('-done', '-update')):
    return  # They name the computation of their start.
  times = 1
  if instruction.opcode == 'while':
    times = _loop_trips(instruction, program)
  for name in _CALLED.findall(instruction.text):
    yield name, times
  for names in _BRANCHES.findall(instruction.text):
    yield from ((name, times) for name in _NAME.findall(names))


def _loop_trips(loop: _Instruction, program: _Program) -> int | None:
  annotation = _TRIPS.search(loop.text)
  if annotation:
    return int(annotation[1])
  name = re.search(r'condition=%?([\w.\-]+)', loop.text)
  condition = program.computations.get(name[1], {}) if name else {}
  root = next((i for i in condition.values() if i.root), None)
  if root is None or root.opcode != 'compare':
    return None
  limit = condition.get(root.operands[1])
  if 'direction=LT' not in root.text or limit is None:
    return None
  if limit.opcode != 'constant' or not limit.operands[0].isdigit():
    return None
  return int(limit.operands[0])
