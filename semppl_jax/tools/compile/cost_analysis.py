"""What a compiled step says about itself, and the time it takes at best.

The step time is a roofline: the longest of arithmetic at the peak bfloat16
rate, memory traffic at the memory's bandwidth and collectives at that of the
links, with no latency and all three at once. A real step takes longer.
"""

from collections.abc import Iterator
import re
from typing import Any

import jax

from semppl_jax.runtime import device_memory
from semppl_jax.runtime.tables import fixed_width
from semppl_jax.tools.compile import hlo_collectives
from semppl_jax.tools.profiling.hardware import Core

# How often the bytes of a collective cross the links: an all-reduce is a
# reduce-scatter and then an all-gather. The one part in n that stays on its
# own device is not taken off.
_PASSES = {'all-reduce': 2}
_GIB = 2**30
_UNITS = {'K': 2**-20, 'M': 2**-10, 'G': 1.0, 'T': 2**10}  # In GiB.


def measure(compiled: jax.stages.Compiled, core: Core) -> dict[str, Any]:
  """Returns memory, arithmetic, traffic and time of one step on one device.

  Args:
    compiled: the compiled step.
    core: what the device can do.
  """
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
  flops: float, accessed: float, moved: dict[str, int], core: Core
) -> dict[str, float]:
  """Returns the milliseconds of each of the three things that take time.

  Args:
    flops: arithmetic operations.
    accessed: bytes read from and written to memory.
    moved: bytes of each kind of collective.
    core: what the device can do.
  """
  return {
    'compute': flops / (core.tflops * 1e12) * 1e3,
    'memory': accessed / (core.hbm_gbps * 1e9) * 1e3,
    'communication': _crossing(moved) / (core.link_gbps * 1e9) * 1e3,
  }


def out_of_memory(message: str, core: Core) -> dict[str, Any]:
  """Returns what the compiler says where it finds no room.

  Args:
    message: its RESOURCE_EXHAUSTED error: what is needed in all, then the part
      of the memory that a program may have, which is less than the whole.
    core: what the device can do.
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


def need(report: dict[str, Any]) -> float:
  """Returns the memory that a step takes over what there is, 1 if unknown."""
  memory = report['hbm_gib']
  return (memory['peak'] or memory['capacity']) / memory['capacity']


def overhead(
  full: jax.stages.Compiled, alone: jax.stages.Compiled
) -> dict[str, float]:
  """Returns what a step has on top of another one.

  Arithmetic, memory traffic and bytes across the links as a share of that one;
  memory in GiB.
  """
  some, other = (_totals(compiled) for compiled in (full, alone))
  shares = {
    name: some[name] / other[name] - 1.0
    for name in ('flops', 'bytes', 'collectives')
    if other[name]
  }
  return shares | {'hbm_gib': some['hbm_gib'] - other['hbm_gib']}


def _totals(compiled: jax.stages.Compiled) -> dict[str, float]:
  cost, text = compiled.cost_analysis(), compiled.as_text()
  peak = device_memory.step_gib(compiled)
  assert cost is not None and text is not None and peak is not None
  return {
    'flops': cost['flops'],
    'bytes': cost['bytes accessed'],
    'collectives': _crossing(hlo_collectives.count(text).bytes),
    'hbm_gib': peak,
  }


def _crossing(moved: dict[str, int]) -> float:
  """Bytes that cross the links."""
  return sum(size * _PASSES.get(kind, 1) for kind, size in moved.items())


def table(report: dict[str, Any]) -> str:
  """Returns the report as a person reads it: an aligned line a figure."""
  rows = list(_rows(report))
  names = max(len(name) for name, _ in rows)
  return fixed_width(rows, (f'<{names}', '>14'), '  ')


def _rows(node: dict[str, Any], prefix: str = '') -> Iterator[tuple[str, str]]:
  for name, value in node.items():
    if isinstance(value, dict):
      yield from _rows(value, f'{prefix}{name}.')
    else:
      yield prefix + name, _text(value)


def _text(value: Any) -> str:
  if isinstance(value, bool):
    return 'yes' if value else 'no'
  if isinstance(value, int):
    return f'{value:,}'
  if isinstance(value, float):
    return f'{value:,.4g}'
  return '-' if value is None else str(value)
