"""TensorFlow as this package uses it: on the CPU, quiet, deterministic.

Only modules that read or decode images import this module, and the rest of the
package imports those inside functions: without TensorFlow everything except the
tf.data pipeline works.
"""

from collections.abc import Callable, Sequence
import os

import numpy as np

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
# oneDNN speeds up no operation used here, and logs a line at every start.
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')

import tensorflow as tf

# TensorFlow would otherwise reserve the memory of the accelerator that JAX
# trains on. Here, so that it happens once and before TensorFlow's first op.
tf.config.set_visible_devices([], 'GPU')
# The images of a batch are the parallelism; threads inside one image would only
# compete with them, and the option of a dataset does not reach all operations.
tf.config.threading.set_intra_op_parallelism_threads(1)


def python_strings(
  read: Callable[..., Sequence[str] | Sequence[bytes]],
  inputs: list[tf.Tensor],
  failures: list[Exception],
) -> tf.Tensor:
  """Calls a Python function inside a graph; returns its strings [n].

  Args:
    read: from NumPy values of `inputs` to n strings.
    inputs: its arguments.
    failures: receives a ValueError of `read`, of which TensorFlow itself keeps
      only the text.
  """

  def call(*values: np.ndarray) -> np.ndarray:
    try:
      return np.array(read(*values), object)
    except ValueError as error:
      failures.append(error)
      raise

  return tf.ensure_shape(tf.numpy_function(call, inputs, tf.string), [None])
