r"""PAWS, ResNet-50 (2x), ImageNet with 10 % of the labels.

  python -m semppl_jax.main --config=configs/paws_resnet50x2_10pct.py \
    --workdir=DIR

Hardware: 64 TPU v3 cores (v3:8x4), as many as the paper has GPUs.
Hours: not yet run.
Expected: 77.8 % accuracy after fine-tuning on the labels (the paper's, arXiv
2104.13963, table 2). Not yet run.
"""

import ml_collections

from configs import paws_resnet50_10pct


def get_config() -> ml_collections.ConfigDict:
  """Returns the ResNet-50 run with a wider network and more epochs."""
  c = paws_resnet50_10pct.get_config()
  c.duration = '200 epochs'
  c.network.width = 2
  # Equal to the width of the features.
  c.network.projector.hidden = 4096
  return c
