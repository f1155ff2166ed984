"""The arithmetic of a train step, counted before any compiler changes it."""

import jax
import ml_collections

from semppl_jax import methods
from semppl_jax.config import loading
from semppl_jax.methods.base import Setting
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.training import aot
from semppl_jax.training.train_step import make_step

# Schedules need a length; what is computed does not depend on it.
_TOTAL_STEPS, _WARMUP_STEPS = 1000, 10


def model_flops(config: ml_collections.ConfigDict) -> float | None:
  """Returns FLOP of one step over all devices, or None without a CPU.

  Of the whole batch in one pass, with nothing computed twice: as model FLOP/s
  utilisation is defined (Chowdhery et al., arXiv 2204.02311, appendix B),
  whatever `config.accumulate` and `config.network.remat` are.

  Args:
    config: the run's config, which names a number of classes.
  """
  try:
    # Accelerators do not count what is not compiled.
    cpu = jax.local_devices(backend='cpu')[:1]
  except RuntimeError:
    return None
  config = loading.copy(config)
  # The body of a loop is counted once, however often it runs.
  config.accumulate, config.network.remat = 1, 'none'
  mesh = mesh_lib.make_mesh(cpu)
  examples = _TOTAL_STEPS * config.batch_size
  method = methods.make(config, Setting(mesh, config.batch_size, examples))
  step = make_step(config, method, mesh, _TOTAL_STEPS, _WARMUP_STEPS)
  batch = aot.batch_like(config, mesh, method.support)
  lowered = aot.lower(step, aot.state_like(step), batch)
  cost = lowered.cost_analysis()
  # Some versions of JAX wrap it in a list.
  cost = cost[0] if isinstance(cost, list) else cost
  return None if cost is None else cost['flops']
