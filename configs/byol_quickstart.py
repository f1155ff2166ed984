"""BYOL, in the setting of the quick start.

  python -m semppl_jax.main --config=configs/byol_quickstart.py --workdir=DIR

Hardware: 2 CPU cores.
Hours: 0.4 on one core by the pace of its first 1,000 steps (5.6 minutes).
Expected: k-NN top-1 (k = 20) 40.2 % among the labelled images and 46.0 % among
all (three seeds on a GPU, `docs/comparison.md`).
"""

import ml_collections

from configs import quickstart


def get_config() -> ml_collections.ConfigDict:
  """Returns BYOL with a rising average."""
  c = quickstart.get_config()
  c.method = 'byol'
  c.ema.schedule = 'cosine'
  return c
