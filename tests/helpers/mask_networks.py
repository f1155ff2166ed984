"""A small mask network that is not trained."""

import jax
import numpy as np

from semppl_jax.saliency import network

SMALL = network.Settings(('boundary', 'barrier'), side=32)


def init(settings: network.Settings = SMALL, seed: int = 0) -> network.Params:
  """Returns initial weights."""
  image = np.zeros((1, settings.side, settings.side, 3), np.uint8)
  make = jax.jit(network.make_network(settings).init)
  return make(jax.random.key(seed), image)
