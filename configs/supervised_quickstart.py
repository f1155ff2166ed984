r"""Labels only, with the settings of the quick start.

  python -m semppl_jax.main --config=configs/supervised_quickstart.py \
    --workdir=DIR

Hardware: 2 CPU cores.
Hours: 0.3 on one core, estimated from its first 1,000 steps (4.3 minutes).
Expected: k-NN accuracy (k = 20) 52.5 % among the labelled images and 55.3 %
among all (three seeds on a GPU, `docs/comparison.md`).
"""

import ml_collections

from configs import quickstart


def get_config() -> ml_collections.ConfigDict:
  """Returns cross-entropy on the labelled images: the baseline."""
  c = quickstart.get_config()
  c.method = 'supervised'
  c.data.labelled_per_batch = c.batch_size
  return c
