"""PAWS for one machine: ResNet-50, ImageNet with 10 % of the labels.

  python -m semppl_jax.main --config=configs/paws_small_batch.py --workdir=DIR

Hardware: 8 accelerators. `accumulate` lowers the memory needed.
Hours: not yet run.
Expected: 70.2 % accuracy after fine-tuning on the labels, at 100 epochs (the
paper's, arXiv 2104.13963, table 4). Not yet run.
"""

import ml_collections

from configs import paws_resnet50_10pct


def get_config() -> ml_collections.ConfigDict:
  """Returns the settings of the public code for 8 GPUs."""
  c = paws_resnet50_10pct.get_config()
  c.batch_size = 256
  c.support.update(classes_per_batch=560, images_per_class=3)
  c.optimizer.learning_rate = 1.2
  c.paws.me_max = False
  return c
