"""SwAV, with the settings of the quick start.

  python -m semppl_jax.main --config=configs/swav_quickstart.py --workdir=DIR

Hardware: 2 CPU cores.
Hours: 0.3 on one core, estimated from its first 1,000 steps (4.4 minutes).
Expected: k-NN accuracy (k = 20) 40.8 % among the labelled images and 45.6 %
among all (three seeds on a GPU, `docs/comparison.md`).
"""

import ml_collections

from configs import quickstart


def get_config() -> ml_collections.ConfigDict:
  """Returns SwAV with few prototypes and a queue."""
  c = quickstart.get_config()
  c.method = 'swav'
  c.network.prototypes = 100
  c.swav.update(queue='1024 rows', queue_from='2 epochs')
  # More stable, in short trials, than the others' learning rate.
  c.optimizer.learning_rate = 2e-3
  return c
