"""SemPPL, ResNet-50, ImageNet with 10 % of the labels.

  python -m semppl_jax.main --config=configs/resnet50_10pct.py --workdir=DIR

Hardware: 128 TPU v3 cores (v3:8x8), as the paper.
Hours: not yet run.
Expected: 76.0 % accuracy after fine-tuning on the labels (the paper's, arXiv
2301.05158, abstract). Not yet run.
"""

import ml_collections

from configs import base


def get_config() -> ml_collections.ConfigDict:
  """Returns the base settings."""
  return base.get_config()
