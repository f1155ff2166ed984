"""SimCLR + CT on one accelerator: ResNet-50, ImageNet, 10 % of the labels.

  python -m semppl_jax.main --config=configs/suncet_small_batch.py --workdir=DIR

Hardware: one accelerator. `accumulate` is the number of microbatches; more of
them need less memory.
Hours: not yet run.
Expected: not yet run.
"""

import ml_collections

from configs import suncet_resnet50_10pct


def get_config() -> ml_collections.ConfigDict:
  """Returns learning rate and support batch scaled to the smaller batch."""
  c = suncet_resnet50_10pct.get_config()
  c.batch_size, c.accumulate = 256, 2
  c.support.classes_per_batch = 56
  c.optimizer.update(start_learning_rate=0.0375, learning_rate=0.3)
  c.optimizer.final_learning_rate = 0.003
  return c
