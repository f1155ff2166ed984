"""Networks that are read and written in no time, with random weights."""

import jax
import numpy as np

from semppl_jax.backbones import resnet
from semppl_jax.exchange import skeleton
from semppl_jax.weights import Preprocessing, Weights

PREPROCESSING = Preprocessing(
  36, 32, 'bicubic', (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)
)
BLOCKS = (1, 1, 1, 1)
CHANNELS = (64, 8, 8, 16)


def shrink(monkeypatch):
  """Makes a ResNet-18 one of a few channels and one block in each group."""
  monkeypatch.setitem(resnet.BLOCKS, 18, BLOCKS)
  monkeypatch.setattr(resnet, '_BASIC_CHANNELS', CHANNELS)


def settings(**fields):
  network = skeleton.settings(backbone='resnet18', **fields)
  network.projector.update(hidden=6, output=4)
  network.predictor.hidden = 5
  network.classifier.classes = 3
  return network


def weights(network, heads, seed=0, **fields):
  """Random weights; averages and scales far from those of a fresh network."""
  rng = np.random.default_rng(seed)

  def draw(leaf):
    if not leaf.shape:
      return np.asarray(1000, np.int32)
    inputs = np.prod(leaf.shape[:-1])
    if inputs == 1:  # A batch norm's.
      return rng.uniform(0.4, 1.2, leaf.shape).astype(np.float32)
    return rng.normal(scale=inputs**-0.5, size=leaf.shape).astype(np.float32)

  params, net_state = jax.tree.map(draw, skeleton.shapes(network, heads))
  for group in net_state.values():
    group['hidden'] = group['average']
  return Weights(
    network, params, net_state, PREPROCESSING, origin='random', **fields
  )


def images(count=3, size=32, seed=1):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (count, size, size, 3), np.uint8)
