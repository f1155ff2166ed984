"""Networks whose every path and statistic does something."""

import functools
import json

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from configs import base
from semppl_jax.network import make_network
from semppl_jax.weights import Preprocessing, Weights

CLASSES = ('ape', 'bat', 'cow', 'dog', 'eel')
HEADS = ('projector', 'predictor', 'classifier')


def settings(**network) -> ml_collections.ConfigDict:
  """`config.network`, by default a small network with small heads."""
  config = base.get_config().network.copy_and_resolve_references().unlock()
  config.update(backbone='resnet_tiny', stem='space_to_depth')
  config.projector.update(hidden=16, output=8)
  config.predictor.hidden = 16
  config.classifier.classes = len(CLASSES)
  config.update(**network)
  return config


def make(size: int = 32, heads=HEADS, seed: int = 0, **network) -> Weights:
  """Weights of an untrained network after a training that never was.

  The scales that a network starts with at zero are not, and the averages are
  those of no batch.
  """
  config = settings(**network)
  params, net_state = _fresh(config.to_json(), size, heads, seed)
  rng = np.random.default_rng(seed)
  return Weights(
    network=config,
    params=_map(params, lambda module, name, x: _parameter(rng, name, x)),
    net_state=_map(net_state, lambda module, name, x: _average(rng, module, x)),
    preprocessing=Preprocessing(
      resize=size,
      crop=size,
      interpolation='bicubic',
      mean=base.IMAGENET_MEAN,
      std=base.IMAGENET_STD,
    ),
    class_names=CLASSES,
    origin='random weights',
  )


@functools.cache
def _fresh(config: str, size: int, heads, seed: int):
  network = make_network(
    ml_collections.ConfigDict(json.loads(config)),
    heads=heads,
    bn_groups='view',
  )
  views = [jnp.zeros((2, 1, size, size, 3))]
  return jax.device_get(network.init(jax.random.key(seed), views))


def images(weights: Weights, count: int, seed: int = 1) -> np.ndarray:
  """Noise of the size that a network takes."""
  crop = weights.preprocessing.crop
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (count, crop, crop, 3), dtype=np.uint8)


def _map(tree, f):
  done = {
    module: {name: f(module, name, x) for name, x in group.items()}
    for module, group in tree.items()
  }
  for group in done.values():
    if 'hidden' in group:
      group['hidden'] = group['average']
      group['counter'] = np.full((), 10**6, np.int32)
  return done


def _parameter(rng, name, x):
  noise = rng.normal(size=x.shape)
  if name == 'scale':
    return (0.8 + 0.2 * noise).astype(np.float32)
  if name in ('offset', 'b'):
    return (0.2 * noise).astype(np.float32)
  # Also the classifier, which starts from zero.
  return x if x.any() else (0.1 * noise).astype(np.float32)


def _average(rng, module, x):
  noise = rng.normal(size=x.shape)
  if module.endswith('var_ema'):
    return np.exp(0.3 * noise).astype(np.float32)
  return (0.2 * noise).astype(np.float32)


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
