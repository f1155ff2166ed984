"""SemPPL, ResNet-18, Imagenette at 128 px with 10 % of the labels.

  python -m semppl_jax.main --config=configs/imagenette_10pct.py --workdir=DIR

Hardware: any one accelerator.
Hours: not yet run.
Expected: no published figure. Not yet run.
"""

import ml_collections

from configs import base


def get_config() -> ml_collections.ConfigDict:
  """Returns the settings for a tenth of Imagenette's 9,469 train images."""
  c = base.get_config()
  c.batch_size = 256
  c.duration = '200 epochs'

  c.data.name = 'imagenette/160px-v2'
  c.data.labels = 'fraction:0.1'

  c.views.large.size = 128
  c.views.small.size = 64
  c.saliency.probability = 0.0

  c.network.backbone = 'resnet18'
  c.network.projector.update(hidden=1024, output=128)
  c.network.predictor.hidden = 1024

  c.ema.decay = 0.99  # 7,400 steps: 0.996 would average over only 3 %.
  c.eval.update(resize=146, crop=128)
  return c
