"""Time of each part of a train step, from a profile of some steps.

The step runs its parts under `jax.named_scope`, Haiku adds the names of its
modules, and the compiler keeps both as the `op_name` of each instruction. The
profiler records when each instruction ran. Where several run at once, as on the
threads of a CPU, each has an equal share of that time, so that all parts and
the rest add up to the step. A fused instruction counts for the scope of its
root, and a copy that the compiler inserted for that of its first user.

The rest is time in which nothing ran, instructions of no scope, metrics and
checks that all is finite. On a GPU, kernels of a CUDA graph may not say which
instruction they are: `XLA_FLAGS=--xla_gpu_enable_command_buffer=` runs without.
"""

import collections
from collections.abc import Callable, Iterable, Iterator, Mapping
import pathlib
import re
import tempfile
import time
from typing import Any, NamedTuple

import jax

from semppl_jax.models.network import HEADS
from semppl_jax.runtime import tables

# Each part, and the scopes that it consists of.
SCOPES = {
  'cutting views': 'augment',
  'colors and blur': 'gradient/augment',
  'queue, votes, sampling, losses': 'gradient/loss',
  'heads': 'gradient/forward and target, modules of heads',
  'encoder': 'gradient/forward and target, other modules',
  'optimizer and average': 'update, average',
  'rest': 'all else',
}
_CROPS, _COLORS, _METHOD, _HEADS, _ENCODER, _UPDATE, _REST = SCOPES
_INSTRUCTION = re.compile(r'^\s+(?:ROOT )?%?([\w.\-]+) = (.*)$')
_OP_NAME = re.compile(r'op_name="([^"]*)"')
_CONTAINER = re.compile(r' (?:while|conditional|call)\(')
_OPERAND = re.compile(r'%([\w.\-]+)')
_EVENT = re.compile(r'%?([\w.\-]+)')


class Part(NamedTuple):
  """Milliseconds of a part, its share of the step, and its scopes."""

  ms: float
  share: float
  measured: str


def profile(
  step: Callable[[], None], hlo: str, steps: int, step_ms: float
) -> dict[str, Part]:
  """Profiles some steps and returns their parts, which add up to `step_ms`.

  Args:
    step: takes a step and returns when it is done.
    hlo: text of the compiled step.
    steps: number of profiled steps.
    step_ms: milliseconds of a step without the profiler.
  """
  options = jax.profiler.ProfileOptions()
  options.python_tracer_level = 0  # It would slow the step down.
  with tempfile.TemporaryDirectory() as folder:
    with jax.profiler.trace(folder, profiler_options=options):
      start = time.perf_counter()
      for _ in range(steps):
        step()
      seconds = time.perf_counter() - start
    (file,) = pathlib.Path(folder).rglob('*.xplane.pb')
    data = jax.profiler.ProfileData.from_file(str(file))
    busy = _busy_seconds(data, instruction_parts(hlo))
  return shares(busy, seconds, step_ms)


def instruction_parts(hlo: str) -> dict[str, str]:
  """Returns the part of each instruction in the text of a compiled program.

  Loops and calls are left out: the instructions inside have the time.
  """
  parts, first_user, unnamed = {}, {}, []
  for line in hlo.splitlines():
    if not (match := _INSTRUCTION.match(line)):
      continue
    name, text = match.groups()
    definition = text.partition(', metadata=')[0]
    for operand in _OPERAND.findall(definition):
      first_user.setdefault(operand, name)
    if _CONTAINER.search(f' {definition}'):
      continue
    if op_name := _OP_NAME.search(text):
      parts[name] = part_of(op_name[1])
    else:
      unnamed.append(name)
  # A user stands below its operands.
  for name in reversed(unnamed):
    parts[name] = parts.get(first_user.get(name, ''), _REST)
  return parts


def part_of(op_name: str) -> str:
  """Returns the part of an `op_name`, a path of scopes and transformations.

  Such as `jit(train)/gradient/transpose(jvp(forward))/projector/linear/dot`.
  """
  scopes = {*re.findall(r'\w+', op_name)}
  if 'gradient' not in scopes:
    if 'augment' in scopes:
      return _CROPS
    return _UPDATE if scopes & {'update', 'average'} else _REST
  if 'augment' in scopes:
    return _COLORS
  if scopes & {'forward', 'target'}:
    return _HEADS if scopes & {*HEADS} else _ENCODER
  return _METHOD if 'loss' in scopes else _REST


def _busy_seconds(data: Any, parts: Mapping[str, str]) -> dict[str, float]:
  """Returns the seconds of each part on a device, the mean over devices."""
  events = {plane.name: [*_events(plane, parts)] for plane in data.planes}
  events = {name: x for name, x in events.items() if x}
  # A host that launches kernels may give them the same names.
  devices = [x for name, x in events.items() if name.startswith('/device:')]
  devices = devices or [*events.values()]
  total = collections.Counter()
  for device in devices:
    total.update(divide_time(device))
  return {name: ns / 1e9 / len(devices) for name, ns in total.items()}


def _events(
  plane: Any, parts: Mapping[str, str]
) -> Iterator[tuple[float, float, str]]:
  """Yields start, end and part of the instructions that a profile has."""
  for line in plane.lines:
    for event in line.events:
      match = _EVENT.match(str(dict(event.stats).get('hlo_op', event.name)))
      if match and match[1] in parts:
        yield event.start_ns, event.end_ns, parts[match[1]]


def divide_time(
  events: Iterable[tuple[float, float, str]],
) -> dict[str, float]:
  """Returns the time of each part, by events of start, end and part.

  Time in which several events overlap is divided among them.
  """
  changes = []
  for start, end, part in events:
    changes += [(start, 1, part), (end, -1, part)]
  running, total, last = collections.Counter(), collections.Counter(), 0.0
  for now, change, part in sorted(changes):
    if count := running.total():
      for name, number in running.items():
        total[name] += (now - last) * number / count
    running[part] += change
    last = now
  return dict(total)


def shares(
  busy: Mapping[str, float], seconds: float, step_ms: float
) -> dict[str, Part]:
  """Returns the parts that took time, and the rest.

  Args:
    busy: seconds of each part in a profile.
    seconds: duration of the profile.
    step_ms: milliseconds of a step without a profile.
  """
  known = {name: busy[name] / seconds for name in SCOPES if name in busy}
  known.pop(_REST, None)
  known[_REST] = 1.0 - sum(known.values())
  return {
    name: Part(share * step_ms, share, SCOPES[name])
    for name, share in known.items()
  }


def table(parts: Mapping[str, Part]) -> str:
  """Returns an aligned table of milliseconds, shares and scopes."""
  rows = [
    ('part', 'ms', 'share', 'measured as'),
    *(
      (name, f'{part.ms:,.2f}', f'{part.share:.1%}', part.measured)
      for name, part in parts.items()
    ),
  ]
  width = max(map(len, parts))
  return tables.fixed_width(rows, (f'<{width}', '>10', '>7', ''), '  ')
