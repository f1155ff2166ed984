"""SemPPL, ResNet-50 (2x), ImageNet with 10 % of the labels.

  python -m semppl_jax.main --config=configs/resnet50x2_10pct.py --workdir=DIR

Hardware: 128 TPU v3 cores (v3:8x8), as the paper.
Hours: not yet run.
Expected: no figure in the paper's abstract (arXiv 2301.05158). Not yet run.
"""

import ml_collections

from configs import base


def get_config() -> ml_collections.ConfigDict:
  """Returns the base settings with a ResNet-50 (2x)."""
  c = base.get_config()
  c.network.width = 2
  return c
