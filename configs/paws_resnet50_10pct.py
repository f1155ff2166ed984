r"""PAWS, ResNet-50, ImageNet with 10 % of the labels.

  python -m semppl_jax.main --config=configs/paws_resnet50_10pct.py \
    --workdir=DIR

Hardware: 64 TPU v3 cores (v3:8x4), as many as the paper has GPUs; it takes 11.5
of 16 GiB on each core (compile check).
Hours: not yet run.
Expected: 73.9 % accuracy after fine-tuning on the labels, 71.0 % by soft
nearest neighbours, at 100 epochs (the paper's, arXiv 2104.13963, table 1). Not
yet run.

Settings are those of the paper, appendix C, and of its public code.
"""

import ml_collections

from configs import base


def get_config() -> ml_collections.ConfigDict:
  """Returns PAWS with 960 classes of 7 images in the support batch."""
  c = base.get_config()
  use_paws(c)
  c.duration = '100 epochs'
  return c


def use_paws(c: ml_collections.ConfigDict) -> None:
  """Sets method, views, heads and optimizer for ImageNet."""
  c.method = 'paws'
  c.views.large.count = 2
  c.views.small.count = 6
  c.saliency.probability = 0.0
  c.augment.update(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2)
  c.augment.update(blur=(0.5, 0.5), solarize=(0.0, 0.0))
  c.network.projector.update(hidden=2048, output=2048, layers=3, last_bias=True)
  c.network.predictor.update(hidden=512, last_bias=True, input_norm=True)
  c.optimizer.update(name='lars_paws', reference_batch=0)
  c.optimizer.update(start_learning_rate=0.3, learning_rate=6.4)
  c.optimizer.final_learning_rate = 0.064
