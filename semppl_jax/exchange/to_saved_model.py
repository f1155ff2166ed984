"""The network as a TensorFlow SavedModel, by `jax.experimental.jax2tf`.

The graph is one XlaCallModule operation around a StableHLO program, so that
TensorFlow compiles what JAX would; TensorFlow Lite and TensorFlow.js cannot run
it. The weights are TensorFlow variables beside it: a graph holds 2 GiB at most.
jax2tf is still marked experimental and needs a TensorFlow as new as JAX's
StableHLO; this file is its only user.
"""

from collections.abc import Callable
import pathlib
from typing import Any

import jax
import numpy as np

from semppl_jax.exchange import inference
from semppl_jax.models.weights import Weights

# Largest difference, over the largest value of an output. TensorFlow brings its
# own XLA, which may sum in another order.
TOLERANCE = 1e-4
SIGNATURE = 'serving_default'
PLATFORMS = ('cpu', 'cuda', 'tpu')


def check(weights: Weights, heads: tuple[str, ...]) -> None:
  """Passes: it holds every network."""
  del weights, heads


def write(path: pathlib.Path, weights: Weights, heads: tuple[str, ...]) -> None:
  """Writes a directory with the signature `images -> outputs`, any batch."""
  from semppl_jax.data.tf.runtime import tf  # Slow to import; hides the GPU.

  leaves, tree = jax.tree.flatten(inference.variables(weights, heads))
  converted = _converted(inference.make_apply(weights, heads), tree)
  module: Any = tf.Module()
  module.values = [tf.Variable(leaf, trainable=False) for leaf in leaves]
  images = tf.TensorSpec(
    (None, *inference.image_shape(weights)), tf.uint8, name='images'
  )
  module.serve = tf.function(
    lambda images: converted(module.values, images),
    input_signature=[images],
    autograph=False,
  )
  tf.saved_model.save(module, str(path), signatures={SIGNATURE: module.serve})


def _converted(apply: Callable[..., Any], tree: Any) -> Callable[..., Any]:
  """Returns `(leaves of tree, images) -> outputs` for TensorFlow."""
  # Imports TensorFlow too, so `tf_runtime` must have been first.
  from jax.experimental import jax2tf

  return jax2tf.convert(
    lambda leaves, images: apply(jax.tree.unflatten(tree, leaves), images),
    polymorphic_shapes=[None, '(B, ...)'],
    with_gradient=False,
    native_serialization_platforms=PLATFORMS,
  )


def read_back(
  path: pathlib.Path,
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
  """Returns what the file computes of uint8 images [n, crop, crop, 3]."""
  from semppl_jax.data.tf.runtime import tf

  # Kept by the function: its variables go with it.
  module = tf.saved_model.load(str(path))

  def run(images: np.ndarray) -> dict[str, np.ndarray]:
    made = module.signatures[SIGNATURE](images=tf.constant(images))
    return {name: value.numpy() for name, value in made.items()}

  return run
