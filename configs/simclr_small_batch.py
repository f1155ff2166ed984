"""SimCLR on one accelerator: ResNet-50, ImageNet.

  python -m semppl_jax.main --config=configs/simclr_small_batch.py --workdir=DIR

Hardware: one accelerator. `accumulate` says into how many parts the batch is
cut: more where memory is less.
Hours: not yet run.
Expected: not yet run.
"""

import ml_collections

from configs import simclr_resnet50_10pct


def get_config() -> ml_collections.ConfigDict:
  """Returns a rate by the root of the batch (arXiv 2002.05709, B.1)."""
  c = simclr_resnet50_10pct.get_config()
  c.batch_size, c.accumulate = 256, 2
  # 0.075 times the root of 256: better for small batches than a linear rate.
  c.optimizer.update(reference_batch=0, learning_rate=1.2)
  return c
