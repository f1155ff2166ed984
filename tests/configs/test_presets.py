"""The presets against the published settings, written down a second time."""

import jax.numpy as jnp
import numpy as np
import pytest

from semppl_jax.config import constraints, loading
from semppl_jax.optim import schedules

SEMPPL = {
  'method': 'semppl',
  'batch_size': 4096,
  'views.large.count': 4,
  'views.large.size': 224,
  'views.large.area': (0.14, 1.0),
  'views.small.count': 2,
  'views.small.size': 96,
  'views.small.area': (0.05, 0.14),
  'network.backbone': 'resnet50',
  'network.projector.hidden': 4096,
  'network.projector.output': 256,
  'network.predictor.hidden': 4096,
  'optimizer.name': 'lars',
  'optimizer.learning_rate': 0.3,
  'optimizer.reference_batch': 256,
  'optimizer.weight_decay': 1e-6,
  'optimizer.momentum': 0.9,
  'optimizer.trust_coefficient': 1e-3,
  'ema.decay': 0.996,
  'ema.schedule': 'constant',
}
PAWS = SEMPPL | {
  'method': 'paws',
  'duration': '100 epochs',
  'views.large.count': 2,
  'views.small.count': 6,
  'augment.brightness': 0.8,
  'augment.contrast': 0.8,
  'augment.saturation': 0.8,
  'augment.hue': 0.2,
  'augment.grayscale': 0.2,
  'augment.blur': (0.5, 0.5),
  'augment.solarize': (0.0, 0.0),
  'network.projector.hidden': 2048,
  'network.projector.output': 2048,
  'network.projector.layers': 3,
  'network.predictor.hidden': 512,
  'network.predictor.input_norm': True,
  'paws.temperature': 0.1,
  'paws.sharpening': 0.25,
  'paws.label_smoothing': 0.1,
  'paws.me_max': True,
  'paws.predictor': True,
  'support.classes_per_batch': 960,
  'support.images_per_class': 7,
  'support.views': 1,
  'optimizer.name': 'lars_paws',
  'optimizer.learning_rate': 6.4,
  'optimizer.reference_batch': 0,
}
SIMCLR = SEMPPL | {
  'method': 'simclr',
  'views.large.count': 2,
  'views.large.area': (0.08, 1.0),
  'views.small.count': 0,
  'network.projector.hidden': 2048,
  'network.projector.output': 128,
  'network.projector.layers': 2,
  'simclr.temperature': 0.1,
}
# Values by the name of a preset.
VALUES = {
  'resnet50_10pct': SEMPPL,
  'relicv2_resnet50_10pct': SEMPPL
  | {'method': 'relicv2', 'duration': '1000 epochs'},
  'paws_resnet50_10pct': PAWS,
  'paws_resnet50x2_10pct': PAWS
  | {
    'duration': '200 epochs',
    'network.width': 2,
    'network.projector.hidden': 4096,
  },
  'paws_resnet50x4_10pct': PAWS
  | {
    'duration': '200 epochs',
    'network.width': 4,
    'network.projector.hidden': 8192,
  },
  'paws_small_batch': PAWS
  | {
    'batch_size': 256,
    'support.classes_per_batch': 560,
    'support.images_per_class': 3,
    'paws.me_max': False,
    'optimizer.learning_rate': 1.2,
  },
  'paws_cifar10_4000': {
    'method': 'paws',
    'duration': '600 epochs',
    'batch_size': 256,
    'views.large.count': 2,
    'views.large.size': 32,
    'views.large.area': (0.75, 1.0),
    'views.small.count': 6,
    'views.small.size': 18,
    'views.small.area': (0.3, 0.75),
    'augment.jitter': 0.8,
    'augment.brightness': 0.4,
    'augment.contrast': 0.4,
    'augment.saturation': 0.4,
    'augment.hue': 0.1,
    'augment.grayscale': 0.0,
    'augment.blur': (0.0, 0.0),
    'augment.solarize': (0.2, 0.2),
    'augment.equalize': 0.2,
    'network.backbone': 'wide_resnet28_2',
    'network.projector.hidden': 128,
    'network.projector.output': 128,
    'network.projector.layers': 3,
    'paws.predictor': False,
    'paws.me_max': True,
    'paws.sharpening': 0.25,
    'support.classes_per_batch': 10,
    'support.images_per_class': 64,
    'support.views': 2,
    'optimizer.name': 'lars_paws',
    'optimizer.weight_decay': 1e-6,
  },
  'simclr_resnet50_10pct': SIMCLR,
  'simclrv2_resnet50_10pct': SIMCLR
  | {
    'network.projector.layers': 3,
    'optimizer.learning_rate': 6.4,  # 0.1 times the root of 4096.
    'optimizer.reference_batch': 0,
    'optimizer.weight_decay': 1e-4,
  },
  'suncet_resnet50_10pct': SIMCLR
  | {
    'method': 'suncet',
    'duration': '500 epochs',
    'suncet.temperature': 0.1,
    'suncet.duration': '100 epochs',
    'optimizer.name': 'lars_paws',
    'optimizer.learning_rate': 4.8,
    'optimizer.reference_batch': 0,
  },
  'byol_resnet50_10pct': SEMPPL
  | {
    'method': 'byol',
    'duration': '1000 epochs',
    'views.large.count': 2,
    'views.large.area': (0.08, 1.0),
    'views.small.count': 0,
    'optimizer.learning_rate': 0.2,
    'optimizer.weight_decay': 1.5e-6,
    'ema.schedule': 'cosine',
  },
  'swav_resnet50_10pct': SEMPPL
  | {
    'method': 'swav',
    'views.large.count': 2,
    'views.small.count': 6,
    'network.projector.hidden': 2048,
    'network.projector.output': 128,
    'network.prototypes': 3000,
    'swav.temperature': 0.1,
    'swav.epsilon': 0.05,
    'swav.iterations': 3,
    'swav.freeze': '1 epochs',
    'optimizer.learning_rate': 4.8,
    'optimizer.reference_batch': 0,
  },
}
# Rates at the first step, after the warm-up, and at the end.
RATES = {
  'resnet50_10pct': (0.0, 4.8, 0.0),
  'paws_resnet50_10pct': (0.3, 6.4, 0.064),
  'paws_resnet50_1pct': (0.3, 6.4, 0.064),
  'paws_small_batch': (0.3, 1.2, 0.064),
  'paws_cifar10_4000': (0.8, 3.2, 0.032),
  'simclr_resnet50_10pct': (0.0, 4.8, 0.0),
  'simclrv2_resnet50_10pct': (0.0, 6.4, 0.0),
  'suncet_resnet50_10pct': (0.6, 4.8, 0.048),
  'byol_resnet50_10pct': (0.0, 3.2, 0.0),
  'swav_resnet50_10pct': (0.0, 4.8, 0.0048),
}


@pytest.mark.parametrize('name', VALUES)
def test_a_preset_has_the_published_values(name):
  config = loading.load(f'configs/{name}.py')
  found = {field: constraints.get(config, field) for field in VALUES[name]}
  assert found == VALUES[name]


@pytest.mark.parametrize('name', RATES)
def test_the_rates_of_a_preset_are_the_published_ones(name):
  config = loading.load(f'configs/{name}.py')
  assert config.optimizer.warmup == '10 epochs'
  rate = schedules.learning_rate(config.optimizer, config.batch_size, 10, 100)
  got = [rate(jnp.int32(step)) for step in (0, 10, 100)]
  np.testing.assert_allclose(got, RATES[name], rtol=1e-5, atol=1e-6)


def test_supports_of_suncet_are_forty_to_every_forty_four():
  c = loading.load('configs/suncet_resnet50_10pct.py')
  rows = c.support.classes_per_batch * c.support.images_per_class
  assert rows / c.batch_size == pytest.approx(40 / 44, rel=5e-3)


def test_paws_is_fine_tuned_from_inside_its_projector():
  c = loading.load('configs/evaluate/paws.py').finetune
  assert (c.classify, c.learning_rates) == ('projector_hidden', (0.02,))
  assert (c.batch_size, c.duration, c.colors) == (256, '50 epochs', False)
