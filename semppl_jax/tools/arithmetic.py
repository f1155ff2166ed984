"""The arithmetic of a train step, counted before any compiler changes it."""

import jax

from semppl_jax import config_file, mesh as mesh_lib
from semppl_jax.tools import synthetic, unfed
from semppl_jax.tools.unfed import Unfed


def model_flops(run: Unfed) -> float | None:
  """Returns FLOP of one step over all devices, or None without a CPU.

  Of the whole batch in one pass, with nothing computed twice: as model FLOP/s
  utilisation is defined (Chowdhery et al., arXiv 2204.02311, appendix B),
  whatever `config.accumulate` and `config.network.remat` are.

  Args:
    run: the config, its method and its devices.
  """
  try:
    # Accelerators do not count what is not compiled.
    cpu = jax.local_devices(backend='cpu')[:1]
  except RuntimeError:
    return None
  config = config_file.copy(run.config)
  config.accumulate, config.network.remat = 1, 'none'
  here = unfed.make(config.lock(), mesh_lib.make_mesh(cpu))
  cost = unfed.lower(here, synthetic.like(here)).cost_analysis()
  return None if cost is None else cost['flops']
