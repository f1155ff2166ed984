"""What one core of each TPU generation can do, by Google's own figures.

Cloud TPU documentation, one page a generation:
https://cloud.google.com/tpu/docs/v2, .../v3, .../v4, .../v5e, .../v5p-training
and .../v6e. It gives no memory or link figures for v2, no link figure for v3
and v4; those are of the papers that its pages point to: Jouppi et al., "A
Domain-Specific Supercomputer for Training Deep Neural Networks" (CACM 63(7),
2020) and "TPU v4: An Optically Reconfigurable Supercomputer" (arXiv
2304.01433). The links of v3, v5e and v6e agree with the all-reduce bandwidth
of a pod over its chips.
"""

from typing import NamedTuple


class Chip(NamedTuple):
  """One chip.

  Attributes:
    cores: tensor cores, which share the rest evenly.
    hbm_gib: memory, GiB.
    tflops: peak bfloat16 matrix rate, 10^12 FLOP/s.
    hbm_gbps: memory bandwidth, 10^9 bytes/s.
    link_gbps: all its links to other chips, one direction, 10^9 bytes/s.
  """

  cores: int
  hbm_gib: float
  tflops: float
  hbm_gbps: float
  link_gbps: float


# By the `device_kind` that JAX reports.
CHIPS = {
  'TPU v2': Chip(2, 16, 46, 700, 248),  # 4 links of 496 Gbit/s.
  'TPU v3': Chip(2, 32, 123, 900, 328),  # 4 links of 656 Gbit/s.
  'TPU v4': Chip(2, 32, 275, 1200, 300),  # 6 links of 50 GB/s.
  'TPU v5 lite': Chip(1, 16, 197, 819, 200),  # v5e
  'TPU v5': Chip(2, 95, 459, 2765, 600),  # v5p
  'TPU v6 lite': Chip(1, 32, 918, 1638, 400),  # v6e
}


class Core(NamedTuple):
  """What JAX calls a device: a core, or a chip whose cores act as one.

  Attributes:
    hbm_gib: memory, GiB.
    tflops: peak bfloat16 matrix rate, 10^12 FLOP/s.
    hbm_gbps: memory bandwidth, 10^9 bytes/s.
    link_gbps: its share of the chip's links, one direction, 10^9 bytes/s.
  """

  hbm_gib: float
  tflops: float
  hbm_gbps: float
  link_gbps: float


def core(device_kind: str, cores: int = 1) -> Core:
  """Returns what a device can do.

  Args:
    device_kind: `device_kind` of the JAX device.
    cores: tensor cores that act as this device.

  Raises:
    ValueError: a chip that is not in the table.
  """
  if device_kind not in CHIPS:
    raise ValueError(
      f'The chip is {device_kind!r}; there are figures for {", ".join(CHIPS)}.'
    )
  chip = CHIPS[device_kind]
  share = cores / chip.cores
  return Core(*(figure * share for figure in chip[1:]))
