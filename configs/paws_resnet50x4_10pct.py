r"""PAWS, ResNet-50 (4x), ImageNet with 10 % of the labels.

  python -m semppl_jax.main --config=configs/paws_resnet50x4_10pct.py \
    --workdir=DIR

Hardware: 64 accelerators, as many as the paper has GPUs, with more memory than
a TPU v3 core: 16 GiB are too few, even with network.remat='blocks'.
Hours: not yet run.
Expected: 79.0 % accuracy after fine-tuning on the labels (the paper's, arXiv
2104.13963, table 2). Not yet run.
"""

import ml_collections

from configs import paws_resnet50x2_10pct


def get_config() -> ml_collections.ConfigDict:
  """Returns the 2x run with a network of twice the width."""
  c = paws_resnet50x2_10pct.get_config()
  c.network.width = 4
  c.network.projector.hidden = 8192
  return c
