"""SemPPL, ResNet-50 (2x), ImageNet with 1 % of the labels.

  python -m semppl_jax.main --config=configs/resnet50x2_1pct.py --workdir=DIR

Hardware: 128 TPU v3 cores (v3:8x8), as the paper.
Hours: not yet run.
Expected: no figure in the paper's abstract (arXiv 2301.05158). Not yet run.
"""

import ml_collections

from configs import resnet50x2_10pct


def get_config() -> ml_collections.ConfigDict:
  """Returns the 10 % run with 1 % of the labels."""
  c = resnet50x2_10pct.get_config()
  c.data.labels = 'tfds:imagenet2012_subset/1pct'
  return c
