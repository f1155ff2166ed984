"""How fast a device multiplies and copies: from the table, or measured."""

from collections.abc import Callable
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from semppl_jax.tools.profiling import hardware

_TYPES = ('bfloat16', 'float32')
_CALLS, _ROUNDS = 8, 3


class Size(NamedTuple):
  """What is multiplied and copied to measure a device.

  Attributes:
    product: rows and columns of the matrices.
    copied: MiB of the array.
  """

  product: int
  copied: int


# Large enough for either to take far longer than its start.
_ACCELERATOR, _CPU = Size(8192, 1024), Size(1024, 64)


class Rates(NamedTuple):
  """What one device can do.

  Attributes:
    tflops: rate of matrix products, 10^12 FLOP/s.
    gbps: memory traffic, reads and writes, 10^9 bytes/s.
    origin: where the figures come from.
  """

  tflops: float
  gbps: float
  origin: str


def of(device: Any) -> Rates:
  """Returns the rates of a device, whose memory should be free meanwhile.

  Those of Google's documents for a TPU that `chips` knows. Else the fastest of
  large bfloat16 and float32 matrix products (a CPU may be slower at bfloat16),
  and a large negation, which reads and writes each number once.

  Args:
    device: a device of this process.
  """
  if device.device_kind in hardware.CHIPS:
    cores = getattr(device, 'num_cores', 1)
    core = hardware.core(device.device_kind, cores)
    return Rates(core.tflops, core.hbm_gbps, 'documents of the chip')
  size = _CPU if device.platform == 'cpu' else _ACCELERATOR
  found = {name: _products(device, name, size.product) for name in _TYPES}
  best = max(_TYPES, key=found.__getitem__)
  origin = (
    f'measured: {best} products of {size.product} x {size.product}, copies of'
    f' {size.copied} MiB'
  )
  return Rates(found[best] / 1e12, _copies(device, size.copied) / 1e9, origin)


def _products(device: Any, dtype: str, size: int) -> float:
  """FLOP/s of a matrix product."""
  # Not constant: of such, a chip takes less power and may run faster.
  x = jax.random.normal(jax.random.key(0), (size, size), dtype)
  x = jax.device_put(x, device)
  product = jax.jit(jnp.matmul)
  return 2 * size**3 / _seconds(lambda _: product(x, x), x)


def _copies(device: Any, mib: int) -> float:
  """Bytes/s that an array is read and written at."""
  x = jax.device_put(jnp.ones((mib, 2**18), jnp.float32), device)
  return 2 * x.nbytes / _seconds(jax.jit(jnp.negative, donate_argnums=0), x)


def _seconds(call: Callable[[jax.Array], jax.Array], x: jax.Array) -> float:
  """Seconds of `x = call(x)` in the best of some rows of calls."""
  x = jax.block_until_ready(call(x))
  best = float('inf')
  for _ in range(_ROUNDS):
    began = time.perf_counter()
    # In a row: a call starts while the one before is still running.
    for _ in range(_CALLS):
      x = call(x)
    jax.block_until_ready(x)
    best = min(best, time.perf_counter() - began)
  return best / _CALLS
