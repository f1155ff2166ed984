r"""ReLICv2 on one accelerator: ResNet-50, ImageNet.

  python -m semppl_jax.main --config=configs/relicv2_small_batch.py \
    --workdir=DIR

Hardware: one accelerator. `accumulate` is the number of microbatches; more of
them need less memory.
Hours: not yet run.
Expected: not yet run.
"""

import ml_collections

from configs import relicv2_resnet50_10pct


def get_config() -> ml_collections.ConfigDict:
  """Returns the large-batch settings; the learning rate scales with it."""
  c = relicv2_resnet50_10pct.get_config()
  c.batch_size, c.accumulate = 256, 4
  return c
