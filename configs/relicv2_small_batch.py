r"""ReLICv2 on one accelerator: ResNet-50, ImageNet.

  python -m semppl_jax.main --config=configs/relicv2_small_batch.py \
    --workdir=DIR

Hardware: one accelerator. `accumulate` says into how many parts the batch is
cut: more where memory is less.
Hours: not yet run.
Expected: not yet run.
"""

import ml_collections

from configs import relicv2_resnet50_10pct


def get_config() -> ml_collections.ConfigDict:
  """Returns the settings of the large batch, its rate scaled to this."""
  c = relicv2_resnet50_10pct.get_config()
  c.batch_size, c.accumulate = 256, 4
  return c
