"""BYOL, with the settings of the quick start.

  python -m semppl_jax.main --config=configs/byol_quickstart.py --workdir=DIR

Hardware: 2 CPU cores.
Hours: 0.4 on one core, estimated from its first 1,000 steps (5.6 minutes).
Expected: k-NN accuracy (k = 20) 40.2 % among the labelled images and 46.0 %
among all (three seeds on a GPU, `docs/comparison.md`).
"""

import ml_collections

from configs import quickstart


def get_config() -> ml_collections.ConfigDict:
  """Returns BYOL with a rising decay of the moving average."""
  c = quickstart.get_config()
  c.method = 'byol'
  c.ema.schedule = 'cosine'
  return c
