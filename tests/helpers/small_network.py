"""A network with all heads that compiles fast, and random views for it."""

import functools

import jax.numpy as jnp
import numpy as np

from configs import base
from semppl_jax.models.network import HEADS, make_network

B, D = 8, 5


def get_config(**fields):
  config = base.get_config().network
  config.update(backbone='resnet_tiny', stem='space_to_depth')
  config.precision = 'float32'
  config.projector.update(hidden=12, output=D)
  config.predictor.hidden = 7
  config.classifier.classes = 3
  config.prototypes = 6
  config.update_from_flattened_dict(fields)
  return config


@functools.cache
def make(bn_groups='view', heads=HEADS, **fields):
  return make_network(get_config(**fields), heads=heads, bn_groups=bn_groups)


def make_views(*sizes, batch=B, seed=0):
  """One array [B, V, H, W, 3] for each (V, H)."""
  rng = np.random.default_rng(seed)
  return tuple(
    jnp.asarray(
      rng.normal(size=(batch, v, h, h, 3)) + rng.normal(size=(1, v, 1, 1, 3)),
      jnp.float32,
    )
    for v, h in sizes
  )
