"""SwAV on one accelerator: ResNet-50, ImageNet.

  python -m semppl_jax.main --config=configs/swav_small_batch.py --workdir=DIR

Hardware: one accelerator. `accumulate` is the number of microbatches; more of
them need less memory.
Hours: not yet run.
Expected: not yet run.
"""

import ml_collections

from configs import swav_resnet50_10pct


def get_config() -> ml_collections.ConfigDict:
  """Returns learning rates and queue of the public code for 256 images."""
  c = swav_resnet50_10pct.get_config()
  c.batch_size, c.accumulate = 256, 2
  c.optimizer.update(learning_rate=0.6, final_learning_rate=0.0006)
  # A batch has fewer rows than prototypes; the queue adds earlier rows.
  c.swav.update(queue='3840 rows', queue_from='15 epochs')
  return c
