"""SemPPL on one accelerator: ResNet-50, ImageNet with 10 % of the labels.

  python -m semppl_jax.main --config=configs/small_batch.py --workdir=DIR

Hardware: one accelerator. `accumulate` says into how many parts the batch is
cut: more where memory is less.
Hours: not yet run.
Expected: not yet run.
"""

import ml_collections

from configs import resnet50_10pct


def get_config() -> ml_collections.ConfigDict:
  """Returns the settings of the large batch, rate and queue in proportion."""
  c = resnet50_10pct.get_config()
  c.batch_size, c.accumulate = 256, 4
  return c
