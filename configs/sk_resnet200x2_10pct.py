r"""SemPPL, ResNet-200 (2x), selective kernels, ImageNet, 10 % of the labels.

  python -m semppl_jax.main --config=configs/sk_resnet200x2_10pct.py \
    --workdir=DIR

Hardware: 512 TPU v3 cores (v3:16x16), as the paper's largest network.
Hours: not yet run.
Expected: no figure in the paper's abstract (arXiv 2301.05158). Not yet run.
"""

import ml_collections

from configs import resnet200x2_10pct


def get_config() -> ml_collections.ConfigDict:
  """Returns the ResNet-200 (2x) run with selective kernels."""
  c = resnet200x2_10pct.get_config()
  c.network.selective_kernels = True
  return c
