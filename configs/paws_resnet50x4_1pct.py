r"""PAWS, ResNet-50 (4x), ImageNet with 1 % of the labels.

  python -m semppl_jax.main --config=configs/paws_resnet50x4_1pct.py \
    --workdir=DIR

Hardware: 64 accelerators, as many as the paper has GPUs, with more memory than
a TPU v3 core: 16 GiB are too few, even with network.remat='blocks'.
Hours: not yet run.
Expected: 69.9 % accuracy after fine-tuning on the labels (the paper's, arXiv
2104.13963, table 2). Not yet run.
"""

import ml_collections

from configs import paws_resnet50x4_10pct


def get_config() -> ml_collections.ConfigDict:
  """Returns the 10 % run with 1 % of the labels."""
  c = paws_resnet50x4_10pct.get_config()
  c.data.labels = 'tfds:imagenet2012_subset/1pct'
  return c
