"""BYOL on one accelerator: ResNet-50, ImageNet.

  python -m semppl_jax.main --config=configs/byol_small_batch.py --workdir=DIR

Hardware: one accelerator. `accumulate` is the number of microbatches; more of
them need less memory.
Hours: not yet run.
Expected: not yet run.
"""

import ml_collections

from configs import byol_resnet50_10pct


def get_config() -> ml_collections.ConfigDict:
  """Returns the large-batch settings; the learning rate scales with it."""
  c = byol_resnet50_10pct.get_config()
  c.batch_size, c.accumulate = 256, 2
  return c
