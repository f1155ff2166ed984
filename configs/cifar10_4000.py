"""SemPPL, WideResNet-28-2, CIFAR-10 with 400 labels per class.

  python -m semppl_jax.main --config=configs/cifar10_4000.py --workdir=DIR

Hardware: any one accelerator.
Hours: not yet run.
Expected: no published figure for SemPPL. Not yet run. (PAWS reaches 96.0 % at
600 epochs and 30 of fine-tuning, arXiv 2104.13963, appendix C.)

Views, color operations and epochs are those of PAWS for CIFAR-10 (same
appendix).
"""

import ml_collections

from configs import base

CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_STD = (0.2470, 0.2435, 0.2616)


def get_config() -> ml_collections.ConfigDict:
  """Returns the settings for 4,000 labels of 50,000 images of 32 px."""
  c = base.get_config()
  c.batch_size = 256
  c.duration = '600 epochs'

  c.data.name = 'cifar10'
  c.data.test_split = 'test'
  c.data.labels = 'per_class:400'

  c.views.large.update(size=32, area=(0.75, 1.0))
  c.views.small.update(size=18, area=(0.3, 0.75))
  use_cifar_colors(c)
  c.saliency.probability = 0.0

  c.network.update(backbone='wide_resnet28_2', stem='cifar')
  c.network.projector.update(hidden=512, output=128)
  c.network.predictor.hidden = 512

  c.eval.update(resize=32, crop=32)
  return c


def use_cifar_colors(c: ml_collections.ConfigDict) -> None:
  """Sets PAWS's color operations and the normalization of CIFAR-10."""
  c.augment.update(saturation=0.4, grayscale=0.0, equalize=0.2)
  c.augment.update(blur=(0.0, 0.0), solarize=(0.2, 0.2))
  c.augment.update(mean=CIFAR10_MEAN, std=CIFAR10_STD)
