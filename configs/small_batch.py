"""SemPPL on one accelerator: ResNet-50, ImageNet with 10 % of the labels.

  python -m semppl_jax.main --config=configs/small_batch.py --workdir=DIR

Hardware: one accelerator. `accumulate` is the number of microbatches; more of
them need less memory.
Hours: not yet run.
Expected: not yet run.
"""

import ml_collections

from configs import resnet50_10pct


def get_config() -> ml_collections.ConfigDict:
  """Returns the large-batch settings; learning rate and queue scale with it."""
  c = resnet50_10pct.get_config()
  c.batch_size, c.accumulate = 256, 4
  return c
