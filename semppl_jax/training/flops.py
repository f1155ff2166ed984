"""Arithmetic of a train step, counted before any compiler changes it."""

import jax
import ml_collections

from semppl_jax.config import loading
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.training import aot


def model_flops(config: ml_collections.ConfigDict) -> float | None:
  """Returns FLOP of one step over all devices, or None without a CPU.

  Counts the whole batch in one pass, with nothing computed twice, whatever
  `config.accumulate` and `config.network.remat` are: so model FLOP/s
  utilization is defined (Chowdhery et al., arXiv 2204.02311, appendix B).

  Args:
    config: config of the run, with a number of classes.
  """
  try:
    # Accelerators do not count what is not compiled.
    cpu = jax.local_devices(backend='cpu')[:1]
  except RuntimeError:
    return None
  config = loading.copy(config)
  # The body of a loop is counted once, however often it runs.
  config.accumulate, config.network.remat = 1, 'none'
  run = aot.make_abstract_run(config, mesh_lib.make_mesh(cpu))
  cost = aot.lower_abstract(run).cost_analysis()
  # Some versions of JAX wrap it in a list.
  cost = cost[0] if isinstance(cost, list) else cost
  return None if cost is None else cost['flops']
