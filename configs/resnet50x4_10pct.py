"""SemPPL, ResNet-50 (4x), ImageNet with 10 % of the labels.

  python -m semppl_jax.main --config=configs/resnet50x4_10pct.py --workdir=DIR

Hardware: 512 TPU v3 cores (v3:16x16), as the paper's largest network.
Hours: not yet run.
Expected: no figure in the paper's abstract (arXiv 2301.05158). Not yet run.
"""

import ml_collections

from configs import base


def get_config() -> ml_collections.ConfigDict:
  """Returns the base settings with a ResNet-50 (4x)."""
  c = base.get_config()
  c.network.width = 4
  return c
