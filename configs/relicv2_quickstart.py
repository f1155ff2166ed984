"""ReLICv2, with the settings of the quick start.

  python -m semppl_jax.main --config=configs/relicv2_quickstart.py --workdir=DIR

Hardware: 2 CPU cores.
Hours: 0.4 on one core, estimated from its first 1,000 steps (5.4 minutes).
Expected: k-NN accuracy (k = 20) 42.4 % among the labelled images and 48.2 %
among all (three seeds on a GPU, `docs/comparison.md`).
"""

import ml_collections

from configs import quickstart


def get_config() -> ml_collections.ConfigDict:
  """Returns ReLICv2 with as many negatives as SemPPL."""
  c = quickstart.get_config()
  c.method = 'relicv2'
  c.relicv2.num_negatives = 30
  return c
