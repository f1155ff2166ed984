r"""ReLICv2, ResNet-50, ImageNet.

  python -m semppl_jax.main --config=configs/relicv2_resnet50_10pct.py \
    --workdir=DIR

Hardware: 128 TPU v3 cores (v3:8x8).
Hours: not yet run.
Expected: 77.1 % accuracy by a linear classifier on all labels (the paper's,
arXiv 2201.05119, abstract). Not yet run.
"""

import ml_collections

from configs import base


def get_config() -> ml_collections.ConfigDict:
  """Returns the base settings with ReLICv2 and its number of epochs."""
  c = base.get_config()
  c.method = 'relicv2'
  c.duration = '1000 epochs'
  return c
