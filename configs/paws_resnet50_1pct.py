"""PAWS, ResNet-50, ImageNet with 1 % of the labels.

  python -m semppl_jax.main --config=configs/paws_resnet50_1pct.py --workdir=DIR

Hardware: 64 TPU v3 cores (v3:8x4), as many as the paper has GPUs.
Hours: not yet run.
Expected: 63.8 % accuracy after fine-tuning on the labels, 61.5 % by soft
nearest neighbours, at 100 epochs (the paper's, arXiv 2104.13963, table 1). Not
yet run.
"""

import ml_collections

from configs import paws_resnet50_10pct


def get_config() -> ml_collections.ConfigDict:
  """Returns the 10 % run with 1 % of the labels."""
  c = paws_resnet50_10pct.get_config()
  c.data.labels = 'tfds:imagenet2012_subset/1pct'
  return c
