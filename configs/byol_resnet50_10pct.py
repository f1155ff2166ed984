r"""BYOL, ResNet-50, ImageNet.

  python -m semppl_jax.main --config=configs/byol_resnet50_10pct.py \
    --workdir=DIR

Hardware: 128 TPU v3 cores (v3:8x8).
Hours: not yet run.
Expected: 68.8 % accuracy after fine-tuning on the labels, at 1000 epochs (arXiv
2104.13963, table 1). Not yet run.
"""

import ml_collections

from configs import base


def get_config() -> ml_collections.ConfigDict:
  """Returns BYOL with two views and a rising decay of the average."""
  c = base.get_config()
  c.method = 'byol'
  c.duration = '1000 epochs'
  c.views.large.update(count=2, area=(0.08, 1.0))
  c.views.small.count = 0
  c.saliency.probability = 0.0
  c.optimizer.update(learning_rate=0.2, weight_decay=1.5e-6)
  c.ema.schedule = 'cosine'
  return c
