"""SemPPL in minutes on a CPU: 6,000 embedded CIFAR-10 images, 600 labels.

  python -m semppl_jax.main --config=configs/quickstart.py --workdir=DIR

Hardware: 2 CPU cores.
Hours: 0.13 (7.7 minutes).
Expected: k-NN accuracy (k = 20) 46.4 % among the labelled images and 50.0 %
among all (seed 0); `benchmarks/learns.py` gives the spread.
"""

import ml_collections

from configs import base, cifar10_4000


def get_config() -> ml_collections.ConfigDict:
  """Returns the settings of the quick start."""
  c = base.get_config()
  # Few negatives need no large batch: many small steps learn more per image.
  c.batch_size = 64
  c.duration = '4000 steps'
  c.log_every = '50 steps'

  c.data.kind = 'embedded'
  c.data.labels = 'per_class:60'
  # A quarter of each batch, so that the queue holds recent embeddings.
  c.data.labelled_per_batch = 16

  # Two views and no blur, for speed.
  c.views.large.update(count=2, size=32, area=(0.5, 1.0))
  c.views.small.update(count=0, size=18, area=(0.3, 0.5))
  c.views.interpolation = 'bilinear'
  c.augment.update(blur=(0.0, 0.0))
  c.augment.update(mean=cifar10_4000.CIFAR10_MEAN, std=cifar10_4000.CIFAR10_STD)
  c.saliency.probability = 0.0

  c.network.update(
    backbone='resnet_tiny', stem='space_to_depth', precision='float32'
  )
  c.network.projector.update(hidden=512, output=128)
  c.network.predictor.hidden = 512

  # Early in training one neighbour is too often wrong; ten of them vote.
  c.semppl.update(queue='1024 rows', k=10, num_negatives=30)

  c.optimizer.update(name='adam', learning_rate=5e-3, reference_batch=0)
  c.optimizer.warmup = '100 steps'
  c.ema.decay = 0.99

  c.eval.update(every='1000 steps', baselines=True, resize=32, crop=32)
  c.checkpoint.every = '1000 steps'
  return c
