r"""SimCLR with SuNCEt, ResNet-50, ImageNet.

  python -m semppl_jax.main --config=configs/suncet_resnet50_10pct.py \
    --workdir=DIR

Hardware: 128 TPU v3 cores (v3:8x8).
Hours: not yet run.
Expected: no published figure with these settings. Not yet run.
"""

import ml_collections

from configs import simclr_resnet50_10pct


def get_config() -> ml_collections.ConfigDict:
  """Returns SimCLR's views and head with the learning rates of SimCLR + CT."""
  c = simclr_resnet50_10pct.get_config()
  c.method = 'suncet'
  c.duration = '500 epochs'
  # 20 classes of 2 images for every 44 other images, as a share of the whole
  # batch (our choice: the public code counts per GPU).
  c.support.update(classes_per_batch=928, images_per_class=4)
  c.optimizer.update(name='lars_paws', reference_batch=0)
  c.optimizer.update(start_learning_rate=0.6, learning_rate=4.8)
  c.optimizer.final_learning_rate = 0.048
  return c
