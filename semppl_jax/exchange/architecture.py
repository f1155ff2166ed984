"""Config and shapes of the network that the weights of a foreign file need."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import PyTree
import ml_collections
import numpy as np

from semppl_jax.models.network import make_network
from semppl_jax.models.weights import Tree

# For averages without a count of updates: Haiku corrects the bias of the first
# updates, and after this many there is none.
MANY_UPDATES = 10**6

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def network_config(**fields: object) -> ml_collections.ConfigDict:
  """Returns a `config.network` with `fields` set.

  Fields that files do not contain have the values of PyTorch, torchvision, timm
  and DeepMind: an epsilon of 1e-5 and a decay of 0.9 (a momentum of 0.1 in
  PyTorch). Convolutions are in float32, as in the file's own framework; a
  fine-tuning run has its own precision.
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
) -> tuple[PyTree, PyTree]:
  """Returns the shapes of parameters and averages; computes nothing."""
  init = make_network(network, heads=heads, bn_groups='view').init
  image = jax.ShapeDtypeStruct((1, 1, 32, 32, 3), jnp.float32)
  return jax.eval_shape(init, jax.random.key(0), (image,))


def average_state(average: np.ndarray) -> dict[str, np.ndarray]:
  """Returns the state of Haiku's moving average with the given value."""
  return {
    'average': average,
    'counter': np.asarray(MANY_UPDATES, np.int32),
    'hidden': average,
  }


def copy_arrays(tree: Mapping[str, Mapping[str, np.ndarray]]) -> Tree:
  """Copies arrays of a file: counters as int32, all others as float32."""
  return {
    module: {
      name: np.array(value, np.int32 if name == 'counter' else np.float32)
      for name, value in group.items()
    }
    for module, group in tree.items()
  }
