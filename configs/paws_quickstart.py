"""PAWS, with the settings of the quick start.

  python -m semppl_jax.main --config=configs/paws_quickstart.py --workdir=DIR

Hardware: 2 CPU cores.
Hours: 0.7 on one core, estimated from its first 1,000 steps (11.1 minutes).
Expected: k-NN accuracy (k = 20) 42.3 % among the labelled images and 45.9 %
among all (three seeds on a GPU, `docs/comparison.md`).
"""

import ml_collections

from configs import quickstart


def get_config() -> ml_collections.ConfigDict:
  """Returns PAWS with small support batches."""
  c = quickstart.get_config()
  c.method = 'paws'
  # As many per unlabelled image as PAWS has on CIFAR-10.
  c.support.update(classes_per_batch=10, images_per_class=16)
  c.network.projector.update(layers=3, last_bias=True)
  c.paws.predictor = False
  return c
