r"""SimCLR, ResNet-50, ImageNet.

  python -m semppl_jax.main --config=configs/simclr_resnet50_10pct.py \
    --workdir=DIR

Hardware: 128 TPU v3 cores (v3:8x8).
Hours: not yet run.
Expected: not yet run.
"""

import ml_collections

from configs import base


def get_config() -> ml_collections.ConfigDict:
  """Returns SimCLR with its views, color operations and head."""
  c = base.get_config()
  c.method = 'simclr'
  c.duration = '1000 epochs'
  c.views.large.update(count=2, area=(0.08, 1.0))
  c.views.small.count = 0
  c.saliency.probability = 0.0
  use_colors(c)
  c.network.projector.update(hidden=2048, output=128)
  return c


def use_colors(c: ml_collections.ConfigDict) -> None:
  """Sets SimCLR's color operations, at strength 1."""
  c.augment.update(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2)
  c.augment.update(blur=(0.5, 0.5), solarize=(0.0, 0.0))
