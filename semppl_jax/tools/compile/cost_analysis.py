"""Cost of a compiled step: memory, arithmetic, traffic, and a roofline.

The step time is a lower bound: the longest of arithmetic at the peak bfloat16
rate, memory traffic at the bandwidth of the memory and collectives at that of
the links, all at once and without latency. A real step takes longer.
"""

from collections.abc import Iterator, Mapping
import re
from typing import Any

import jax

from semppl_jax.runtime import device_memory
from semppl_jax.runtime.tables import fixed_width
from semppl_jax.tools.compile import hlo_collectives
from semppl_jax.tools.profiling.hardware import Core

Report = dict[str, Any]

# Times that the bytes of a collective cross the links: an all-reduce is a
# reduce-scatter and an all-gather. The one part in n that stays on its own
# device is not subtracted.
_PASSES = {'all-reduce': 2}
_GIB = 2**30
_UNITS = {'K': 2**-20, 'M': 2**-10, 'G': 1.0, 'T': 2**10}  # In GiB.


def measure(compiled: jax.stages.Compiled, core: Core) -> Report:
  """Returns memory, arithmetic, traffic and time of one step on one device."""
  memory, cost = compiled.memory_analysis(), compiled.cost_analysis()
  text = compiled.as_text()
  peak = device_memory.step_gib(compiled)
  assert memory is not None and peak is not None
  assert cost is not None and text is not None
  moved = hlo_collectives.count(text)
  flops, accessed = cost['flops'], cost['bytes accessed']
  times = roofline_ms(flops, accessed, moved.bytes, core)
  return {
    'fits': peak <= core.hbm_gib,
    'hbm_gib': {
      'arguments': memory.argument_size_in_bytes / _GIB,
      'temporaries': memory.temp_size_in_bytes / _GIB,
      'peak': peak,
      'capacity': core.hbm_gib,
    },
    'tflop': flops / 1e12,
    'gb_accessed': accessed / 1e9,
    'collectives': moved.bytes,
    'collectives_run': moved.count,
    'collectives_in_unknown_loops': moved.unknown_trips,
    'roofline_ms': max(times.values()),
    'roofline_terms_ms': times,
  }


def roofline_ms(
  flops: float, accessed: float, moved: Mapping[str, int], core: Core
) -> dict[str, float]:
  """Returns the milliseconds of compute, memory and communication.

  Args:
    flops: arithmetic operations.
    accessed: bytes read from and written to memory.
    moved: bytes of each kind of collective.
    core: peak rates of the device.
  """
  return {
    'compute': flops / (core.tflops * 1e12) * 1e3,
    'memory': accessed / (core.hbm_gbps * 1e9) * 1e3,
    'communication': _link_bytes(moved) / (core.link_gbps * 1e9) * 1e3,
  }


def out_of_memory(message: str, core: Core) -> Report:
  """Returns the report of a step that does not fit.

  Args:
    message: the compiler's RESOURCE_EXHAUSTED error: the memory that the step
      needs, then the part of the memory that a program may use.
    core: figures of the device.
  """
  sizes = [
    float(number) * _UNITS[unit]
    for number, unit in re.findall(r'\b(\d+(?:\.\d+)?)([KMGT])\b', message)
  ]
  peak, capacity = sizes[:2] if len(sizes) > 1 else (None, core.hbm_gib)
  return {
    'fits': False,
    'hbm_gib': {
      'arguments': None,
      'temporaries': None,
      'peak': peak,
      'capacity': capacity,
    },
    'compiler': message.splitlines()[0],
  }


def memory_ratio(report: Report) -> float:
  """Returns the memory of a step over the capacity; 1 if it is unknown."""
  memory = report['hbm_gib']
  return (memory['peak'] or memory['capacity']) / memory['capacity']


def overhead(full: Report, alone: Report) -> dict[str, float]:
  """Returns the additional cost of a step, by the reports of both.

  Arithmetic, memory traffic and bytes on the links as a share of the other's;
  memory in GiB.
  """
  shares = {}
  for name, key in (('flops', 'tflop'), ('bytes', 'gb_accessed')):
    shares[name] = full[key] / alone[key] - 1.0
  ours, theirs = (_link_bytes(x['collectives']) for x in (full, alone))
  if theirs:
    shares['collectives'] = ours / theirs - 1.0
  ours, theirs = (x['hbm_gib']['peak'] for x in (full, alone))
  return shares | {'hbm_gib': ours - theirs}


def _link_bytes(moved: Mapping[str, int]) -> float:
  return sum(size * _PASSES.get(kind, 1) for kind, size in moved.items())


def table(report: Mapping[str, object]) -> str:
  """Returns the report as one aligned line for each figure."""
  rows = list(_rows(report))
  names = max(len(name) for name, _ in rows)
  return fixed_width(rows, (f'<{names}', '>14'), '  ')


def _rows(
  node: Mapping[str, object], prefix: str = ''
) -> Iterator[tuple[str, str]]:
  for name, value in node.items():
    if isinstance(value, dict):
      yield from _rows(value, f'{prefix}{name}.')
    else:
      yield prefix + name, _text(value)


def _text(value: object) -> str:
  if isinstance(value, bool):
    return 'yes' if value else 'no'
  if isinstance(value, int):
    return f'{value:,}'
  if isinstance(value, float):
    return f'{value:,.4g}'
  return '-' if value is None else str(value)
