"""Export as a TensorFlow SavedModel, by `jax.experimental.jax2tf`.

The graph is one XlaCallModule operation with a StableHLO program, so that
TensorFlow compiles the same program as JAX; TensorFlow Lite and TensorFlow.js
cannot run it. The weights are TensorFlow variables, as a graph holds at most
2 GiB. jax2tf is experimental and needs a TensorFlow as new as JAX's StableHLO.
"""

import pathlib
from typing import Any

import jax
import numpy as np

from semppl_jax.exchange import inference
from semppl_jax.exchange.inference import HostFn
from semppl_jax.models.weights import Weights, WeightsError

# TensorFlow contains its own XLA, which may sum in another order.
TOLERANCE = 1e-4
SIGNATURE = 'serving_default'
PLATFORMS = ('cpu', 'cuda', 'tpu')


def check(weights: Weights, heads: tuple[str, ...]) -> None:
  """Raises WeightsError if TensorFlow cannot read the programs of this JAX."""
  del weights, heads
  from jax.experimental import jax2tf

  from semppl_jax.data.tf.runtime import tf  # Slow to import; hides the GPU.

  # TensorFlow reads a program when it first runs it. The number of images is
  # not fixed, and its check is the part that TensorFlow 2.21 does not know.
  double = jax2tf.convert(lambda x: x + x, polymorphic_shapes=['(B,)'])
  call = tf.function(
    double,
    input_signature=[tf.TensorSpec((None,), tf.float32)],
    autograph=False,
  )
  try:
    call(tf.zeros(1))
  except tf.errors.InvalidArgumentError:
    raise WeightsError(
      f'TensorFlow {tf.__version__} cannot read programs of JAX'
      f' {jax.__version__}, so that --format=saved_model cannot be written;'
      ' install "jax<0.12" or a newer TensorFlow, or write stablehlo or onnx.'
    ) from None


def write(path: pathlib.Path, weights: Weights, heads: tuple[str, ...]) -> None:
  """Writes a directory with the signature `images -> outputs`."""
  # After TensorFlow was configured by the import above.
  from jax.experimental import jax2tf

  from semppl_jax.data.tf.runtime import tf  # Slow to import; hides the GPU.

  apply = inference.make_apply(weights, heads)
  leaves, tree = jax.tree.flatten(inference.variables(weights, heads))
  converted = jax2tf.convert(
    lambda leaves, images: apply(jax.tree.unflatten(tree, leaves), images),
    polymorphic_shapes=[None, '(B, ...)'],
    with_gradient=False,
    native_serialization_platforms=PLATFORMS,
  )
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


def read_back(path: pathlib.Path) -> HostFn:
  """Returns the function that the file computes."""
  from semppl_jax.data.tf.runtime import tf

  # Kept by the function, as its variables would be deleted with it.
  module = tf.saved_model.load(str(path))

  def run(images: np.ndarray) -> dict[str, np.ndarray]:
    outputs = module.signatures[SIGNATURE](images=tf.constant(images))
    return {name: value.numpy() for name, value in outputs.items()}

  return run
