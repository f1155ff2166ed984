"""Random networks whose every path and statistic does something."""

import jax
import ml_collections
import numpy as np

from configs import base
from semppl_jax.exchange import architecture
from semppl_jax.models.backbones import resnet
from semppl_jax.models.network import make_network
from semppl_jax.models.weights import Preprocessing, Weights

CLASSES = ('ape', 'bat', 'cow', 'dog', 'eel')
HEADS = ('projector', 'predictor', 'prototypes', 'classifier')
PREPROCESSING = Preprocessing(
  36, 32, 'bicubic', (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)
)
BLOCKS = (1, 1, 1, 1)
CHANNELS = (64, 8, 8, 16)


def settings(**network) -> ml_collections.ConfigDict:
  """`config.network`, by default a small network with small heads."""
  config = base.get_config().network.copy_and_resolve_references().unlock()
  config.update(backbone='resnet_tiny', stem='space_to_depth')
  config.projector.update(hidden=16, output=8)
  config.predictor.update(hidden=16, last_bias=True, input_norm=True)
  config.prototypes = 7
  config.classifier.classes = len(CLASSES)
  config.update(**network)
  return config


def foreign(**network) -> ml_collections.ConfigDict:
  """Settings as of a foreign file: a ResNet-18, to be shrunk."""
  config = architecture.network_config(backbone='resnet18', **network)
  config.projector.update(hidden=6, output=4)
  config.predictor.hidden = 5
  config.prototypes = 9
  config.classifier.classes = 3
  return config


def shrink(monkeypatch) -> None:
  """Makes a ResNet-18 one of a few channels and one block in each group."""
  monkeypatch.setitem(resnet.BLOCKS, 18, BLOCKS)
  monkeypatch.setattr(resnet, '_BASIC_CHANNELS', CHANNELS)


def make(size: int = 32, heads=HEADS, seed: int = 0, **network) -> Weights:
  """Weights of a network as `settings` has it, for images of `size`."""
  return draw(
    settings(**network),
    heads,
    seed,
    preprocessing=Preprocessing(
      resize=size,
      crop=size,
      interpolation='bicubic',
      mean=base.IMAGENET_MEAN,
      std=base.IMAGENET_STD,
    ),
    class_names=CLASSES,
  )


def draw(
  network: ml_collections.ConfigDict, heads=(), seed: int = 0, **fields
) -> Weights:
  """Weights of a network after a training that never was.

  The scales that a network starts with at zero are not, and the averages are
  those of no batch. Nothing is compiled.
  """
  rng = np.random.default_rng(seed)
  params, net_state = architecture.shapes(network, tuple(heads))
  params = {
    module: {name: _parameter(rng, name, x.shape) for name, x in group.items()}
    for module, group in params.items()
  }
  net_state = {
    module: architecture.average_state(
      _average(rng, module, group['average'].shape)
    )
    for module, group in net_state.items()
  }
  return Weights(
    **dict(
      network=network,
      params=params,
      net_state=net_state,
      preprocessing=PREPROCESSING,
      origin='random weights',
    )
    | fields
  )


def _parameter(rng, name, shape):
  noise = rng.normal(size=shape)
  if name == 'scale':
    noise = 0.8 + 0.2 * noise
  elif name in ('offset', 'b'):
    noise = 0.2 * noise
  else:
    noise *= np.prod(shape[:-1]) ** -0.5
  return noise.astype(np.float32)


def _average(rng, module, shape):
  noise = rng.normal(size=shape)
  if module.endswith('var_ema'):
    return np.exp(0.3 * noise).astype(np.float32)
  return (0.2 * noise).astype(np.float32)


def images(weights: Weights, count: int, seed: int = 1) -> np.ndarray:
  """Noise of the size that a network takes."""
  return pixels(count, weights.preprocessing.crop, seed)


def pixels(count: int, size: int, seed: int = 1) -> np.ndarray:
  """Noise, uint8 [count, size, size, 3]."""
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def slow(weights: Weights, heads, images: np.ndarray) -> dict[str, np.ndarray]:
  """Outputs by the network itself, images normalised by NumPy."""
  config = ml_collections.ConfigDict(weights.network.to_dict())
  config.precision = 'float32'
  network = make_network(config, heads=weights.heads, bn_groups='view')
  mean, std = (
    np.asarray(x, np.float32)
    for x in (weights.preprocessing.mean, weights.preprocessing.std)
  )
  normal = (images.astype(np.float32) / 255 - mean) / std
  made = jax.device_get(
    jax.jit(network.embed)(weights.params, weights.net_state, normal)
  )
  names = {
    'projector': 'projection',
    'predictor': 'prediction',
    'classifier': 'logits',
  }
  wanted = ['features', *(names[head] for head in heads)]
  return {name: getattr(made, name)[:, 0] for name in wanted}


def assert_exact(got, want, tolerance: float = 1e-5) -> None:
  """The same outputs, to `tolerance` of the largest value of each."""
  assert set(got) == set(want)
  for name, value in want.items():
    assert got[name].shape == value.shape
    assert got[name].dtype == np.float32
    most = np.abs(value).max()
    assert most > 1e-2
    np.testing.assert_allclose(got[name], value, rtol=0, atol=tolerance * most)
