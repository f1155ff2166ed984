"""SimCLR on one accelerator: ResNet-50, ImageNet.

  python -m semppl_jax.main --config=configs/simclr_small_batch.py --workdir=DIR

Hardware: one accelerator. `accumulate` is the number of microbatches; more of
them need less memory.
Hours: not yet run.
Expected: not yet run.
"""

import ml_collections

from configs import simclr_resnet50_10pct


def get_config() -> ml_collections.ConfigDict:
  """Returns SimCLR, learning rate by square root (arXiv 2002.05709, B.1)."""
  c = simclr_resnet50_10pct.get_config()
  c.batch_size, c.accumulate = 256, 2
  # 0.075 times the square root of 256: for small batches better than linear.
  c.optimizer.update(reference_batch=0, learning_rate=1.2)
  return c
