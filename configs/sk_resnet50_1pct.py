"""SemPPL, ResNet-50 with selective kernels, ImageNet, 1 % of the labels.

  python -m semppl_jax.main --config=configs/sk_resnet50_1pct.py --workdir=DIR

Hardware: 128 TPU v3 cores (v3:8x8), as the paper.
Hours: not yet run.
Expected: 72.3 % accuracy after fine-tuning on the labels (the paper's, arXiv
2301.05158, abstract). Not yet run.
"""

import ml_collections

from configs import sk_resnet50_10pct


def get_config() -> ml_collections.ConfigDict:
  """Returns the 10 % run with 1 % of the labels."""
  c = sk_resnet50_10pct.get_config()
  c.data.labels = 'tfds:imagenet2012_subset/1pct'
  return c
