"""SimCLR, with the settings of the quick start.

  python -m semppl_jax.main --config=configs/simclr_quickstart.py --workdir=DIR

Hardware: 2 CPU cores.
Hours: 0.3 on one core, estimated from its first 1,000 steps (4.4 minutes).
Expected: k-NN accuracy (k = 20) 44.8 % among the labelled images and 52.7 %
among all (three seeds on a GPU, `docs/comparison.md`).
"""

import ml_collections

from configs import quickstart


def get_config() -> ml_collections.ConfigDict:
  """Returns SimCLR."""
  c = quickstart.get_config()
  c.method = 'simclr'
  return c
