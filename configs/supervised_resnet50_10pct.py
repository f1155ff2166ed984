r"""Labels only, ResNet-50, ImageNet.

  python -m semppl_jax.main --config=configs/supervised_resnet50_10pct.py \
    --workdir=DIR

Hardware: 128 TPU v3 cores (v3:8x8).
Hours: not yet run.
Expected: not yet run.
"""

import ml_collections

from configs import base


def get_config() -> ml_collections.ConfigDict:
  """Returns cross-entropy on the labelled images: the baseline."""
  c = base.get_config()
  c.method = 'supervised'
  c.duration = '100 epochs'
  c.data.labelled_per_batch = c.batch_size
  c.views.large.update(count=1, area=(0.08, 1.0))
  c.views.small.count = 0
  c.saliency.probability = 0.0
  c.augment.update(blur=(0.0, 0.0), solarize=(0.0, 0.0))
  c.optimizer.weight_decay = 1e-4
  return c
