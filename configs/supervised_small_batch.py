r"""Labels only, on one accelerator: ResNet-50, ImageNet, 10 % of the labels.

  python -m semppl_jax.main --config=configs/supervised_small_batch.py \
    --workdir=DIR

Hardware: one accelerator.
Hours: not yet run.
Expected: not yet run.
"""

import ml_collections

from configs import supervised_resnet50_10pct


def get_config() -> ml_collections.ConfigDict:
  """Returns the large-batch settings; the learning rate scales with it."""
  c = supervised_resnet50_10pct.get_config()
  c.batch_size = c.data.labelled_per_batch = 256
  return c
