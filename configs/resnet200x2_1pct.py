"""SemPPL, ResNet-200 (2x), ImageNet with 1 % of the labels.

  python -m semppl_jax.main --config=configs/resnet200x2_1pct.py --workdir=DIR

Hardware: 512 TPU v3 cores (v3:16x16), as the paper's largest network.
Hours: not yet run.
Expected: no figure in the paper's abstract (arXiv 2301.05158). Not yet run.
"""

import ml_collections

from configs import resnet200x2_10pct


def get_config() -> ml_collections.ConfigDict:
  """Returns the 10 % run with 1 % of the labels."""
  c = resnet200x2_10pct.get_config()
  c.data.labels = 'tfds:imagenet2012_subset/1pct'
  return c
