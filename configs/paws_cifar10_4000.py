"""PAWS, WideResNet-28-2, CIFAR-10 with 400 labels per class.

  python -m semppl_jax.main --config=configs/paws_cifar10_4000.py --workdir=DIR

Hardware: any one accelerator.
Hours: 20 epochs took 0.03 (9,450 images/s) on one NVIDIA H100, with
`--config.data.backend=device`; 600 have not yet been run.
Expected: 96.0 % after 600 epochs and 30 of fine-tuning by SuNCEt (the paper's,
arXiv 2104.13963, appendix C); not yet run. 20 epochs, of which 2 of warm-up,
gave 84.7 % by soft nearest neighbours of the projections without fine-tuning
(`--protocol=soft_nn`, one seed, a copy of CIFAR-10 in JPEG).
"""

import ml_collections

from configs import cifar10_4000


def get_config() -> ml_collections.ConfigDict:
  """Returns the settings of the paper's appendix C."""
  c = cifar10_4000.get_config()
  c.method = 'paws'
  c.views.large.count = 2
  c.views.small.count = 6
  c.network.projector.update(hidden=128, output=128, layers=3, last_bias=True)
  c.support.update(classes_per_batch=10, images_per_class=64, views=2)
  c.paws.predictor = False
  c.optimizer.update(name='lars_paws', reference_batch=0)
  c.optimizer.update(start_learning_rate=0.8, learning_rate=3.2)
  c.optimizer.final_learning_rate = 0.032
  return c
