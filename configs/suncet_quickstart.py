"""SimCLR and SuNCEt, with the settings of the quick start.

  python -m semppl_jax.main --config=configs/suncet_quickstart.py --workdir=DIR

Hardware: 2 CPU cores.
Hours: 0.4 on one core, estimated from its first 1,000 steps (6.0 minutes).
Expected: k-NN accuracy (k = 20) 50.2 % among the labelled images and 53.9 %
among all (three seeds on a GPU, `docs/comparison.md`).
"""

import ml_collections

from configs import quickstart


def get_config() -> ml_collections.ConfigDict:
  """Returns SimCLR + CT with small support batches."""
  c = quickstart.get_config()
  c.method = 'suncet'
  c.support.update(classes_per_batch=10, images_per_class=4)
  c.suncet.duration = '1000 epochs'  # Longer than any run here.
  return c
