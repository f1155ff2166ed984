"""Peak rates of devices: documented for TPUs, measured for others.

Cloud TPU documentation, one page a generation:
https://cloud.google.com/tpu/docs/v2, .../v3, .../v4, .../v5e, .../v5p-training
and .../v6e. It gives no memory or link figures for v2, no link figure for v3
and v4; those are of the papers that its pages point to: Jouppi et al., "A
Domain-Specific Supercomputer for Training Deep Neural Networks" (CACM 63(7),
2020) and "TPU v4: An Optically Reconfigurable Supercomputer" (arXiv
2304.01433). The links of v3, v5e and v6e agree with the all-reduce bandwidth
of a pod over its chips.
"""

from collections.abc import Callable
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp

from semppl_jax.runtime.mesh import Device

_DTYPES = ('bfloat16', 'float32')
_CALLS, _ROUNDS = 8, 3


class Core(NamedTuple):
  """Figures of a JAX device: a core, or a chip whose cores act as one.

  Attributes:
    hbm_gib: memory, GiB.
    tflops: peak bfloat16 matrix rate, 10^12 FLOP/s.
    hbm_gbps: memory bandwidth, 10^9 bytes/s.
    link_gbps: links to other chips, one direction, 10^9 bytes/s.
  """

  hbm_gib: float
  tflops: float
  hbm_gbps: float
  link_gbps: float


# Cores and figures of a chip, by the `device_kind` that JAX reports.
CHIPS = {
  'TPU v2': (2, Core(16, 46, 700, 248)),  # 4 links of 496 Gbit/s.
  'TPU v3': (2, Core(32, 123, 900, 328)),  # 4 links of 656 Gbit/s.
  'TPU v4': (2, Core(32, 275, 1200, 300)),  # 6 links of 50 GB/s.
  'TPU v5 lite': (1, Core(16, 197, 819, 200)),  # v5e
  'TPU v5': (2, Core(95, 459, 2765, 600)),  # v5p
  'TPU v6 lite': (1, Core(32, 918, 1638, 400)),  # v6e
}


def core(device_kind: str, cores: int = 1) -> Core:
  """Returns the figures of a TPU device.

  Args:
    device_kind: `device_kind` of the JAX device.
    cores: tensor cores that act as this device.

  Raises:
    ValueError: the chip is not in the table.
  """
  if device_kind not in CHIPS:
    raise ValueError(
      f'The chip is {device_kind!r}; there are figures for {", ".join(CHIPS)}.'
    )
  total, chip = CHIPS[device_kind]
  return Core(*(figure * cores / total for figure in chip))


class Workload(NamedTuple):
  """Rows and columns of a matrix product, and MiB of a copied array."""

  product: int
  copied: int


# Large enough for either to take far longer than its start.
_ACCELERATOR, _CPU = Workload(8192, 1024), Workload(1024, 64)


class Rates(NamedTuple):
  """Peak rates of one device.

  Attributes:
    tflops: matrix products, 10^12 FLOP/s.
    gbps: memory traffic, reads and writes, 10^9 bytes/s.
    origin: where the figures come from.
  """

  tflops: float
  gbps: float
  origin: str


def rates(device: Device) -> Rates:
  """Returns the rates of a device, whose memory should be free meanwhile.

  Those of a TPU in `CHIPS` are documented. Else the faster of large bfloat16
  and float32 matrix products is measured (a CPU may be slower at bfloat16), and
  a large negation, which reads and writes each number once.
  """
  if device.device_kind in CHIPS:
    each = core(device.device_kind, getattr(device, 'num_cores', 1))
    return Rates(each.tflops, each.hbm_gbps, 'documents of the chip')
  size = _CPU if device.platform == 'cpu' else _ACCELERATOR
  flops = {name: _product_flops(device, name, size.product) for name in _DTYPES}
  best = max(_DTYPES, key=flops.__getitem__)
  origin = (
    f'measured: {best} products of {size.product} x {size.product}, copies of'
    f' {size.copied} MiB'
  )
  gbps = _copy_bytes(device, size.copied) / 1e9
  return Rates(flops[best] / 1e12, gbps, origin)


def _product_flops(device: Device, dtype: str, size: int) -> float:
  """FLOP/s of a matrix product."""
  # Not constant: a device needs less power for constants, and may run faster.
  x = jax.random.normal(jax.random.key(0), (size, size), dtype)
  x = jax.device_put(x, device)
  product = jax.jit(jnp.matmul)
  return 2 * size**3 / _seconds(lambda _: product(x, x), x)


def _copy_bytes(device: Device, mib: int) -> float:
  """Bytes/s of reading and writing an array."""
  x = jax.device_put(jnp.ones((mib, 2**18), jnp.float32), device)
  return 2 * x.nbytes / _seconds(jax.jit(jnp.negative, donate_argnums=0), x)


def _seconds(call: Callable[[jax.Array], jax.Array], x: jax.Array) -> float:
  """Seconds of `x = call(x)` in the fastest of some series of calls."""
  x = jax.block_until_ready(call(x))
  best = float('inf')
  for _ in range(_ROUNDS):
    start = time.perf_counter()
    # Asynchronously: a call starts while the one before is still running.
    for _ in range(_CALLS):
      x = call(x)
    jax.block_until_ready(x)
    best = min(best, time.perf_counter() - start)
  return best / _CALLS
