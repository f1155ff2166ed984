"""The network that weights of a foreign file are for, before it has them."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from semppl_jax.models.network import make_network
from semppl_jax.models.weights import Tree

# Averages of a file without a count of updates. Haiku divides an average by
# what is missing of its first updates; after so many, nothing is.
MANY_UPDATES = 10**6

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def settings(**fields: Any) -> ml_collections.ConfigDict:
  """Returns settings as in `config.network`, `fields` set.

  Those that no file says are what PyTorch, torchvision, timm and DeepMind all
  have: an epsilon of 1e-5, and averages that keep 0.9 (PyTorch calls that a
  momentum of 0.1). Convolutions are in float32, so that features are the
  file's; a fine-tuning run has a precision of its own.
  """
  network = ml_collections.ConfigDict(
    dict(
      backbone='resnet50',
      width=1,
      selective_kernels=False,
      stem='imagenet',
      padding='torch',
      bn_decay=0.9,
      bn_eps=1e-5,
      remat='none',
      projector=dict(hidden=4096, output=256, layers=2, last_bias=False),
      predictor=dict(hidden=4096, last_bias=False, input_norm=False),
      prototypes=0,
      classifier=dict(classes=0, input='features'),
      precision='float32',
    )
  )
  network.update(fields)
  return network


def shapes(
  network: ml_collections.ConfigDict, heads: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, Any]]:
  """Shapes of the parameters and averages; nothing is computed."""
  made = make_network(network, heads=heads, bn_groups='view')
  image = jax.ShapeDtypeStruct((1, 1, 32, 32, 3), jnp.float32)
  return jax.eval_shape(made.init, jax.random.key(0), (image,))


def averages(average: np.ndarray) -> dict[str, np.ndarray]:
  """A moving average as Haiku keeps it, of a file that only has its value."""
  return {
    'average': average,
    'counter': np.asarray(MANY_UPDATES, np.int32),
    'hidden': average,
  }


def owned(tree: Mapping[str, Any]) -> Tree:
  """Copies arrays out of a file: counters as int32, all else as float32."""
  return {
    module: {
      name: np.array(value, np.int32 if name == 'counter' else np.float32)
      for name, value in group.items()
    }
    for module, group in tree.items()
  }
