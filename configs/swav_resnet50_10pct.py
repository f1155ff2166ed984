r"""SwAV, ResNet-50, ImageNet.

  python -m semppl_jax.main --config=configs/swav_resnet50_10pct.py \
    --workdir=DIR

Hardware: 128 TPU v3 cores (v3:8x8).
Hours: not yet run.
Expected: 70.2 % accuracy after fine-tuning on the labels, at 800 epochs (arXiv
2104.13963, table 1). Not yet run.
"""

import ml_collections

from configs import base, simclr_resnet50_10pct


def get_config() -> ml_collections.ConfigDict:
  """Returns SwAV with its views, head and learning rates."""
  c = base.get_config()
  c.method = 'swav'
  c.duration = '800 epochs'
  c.views.large.count = 2
  c.views.small.count = 6
  c.saliency.probability = 0.0
  simclr_resnet50_10pct.use_colors(c)
  c.network.projector.update(hidden=2048, output=128)
  c.optimizer.update(learning_rate=4.8, final_learning_rate=0.0048)
  c.optimizer.reference_batch = 0
  return c
