"""TensorFlow as this package uses it: on the CPU, quiet, repeatable.

Only modules that read or decode images import this one, and the rest of the
package imports them inside functions: without TensorFlow everything but the
tf.data path runs.
"""

import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
# oneDNN speeds up no operation that is used here, and says so at every start.
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')

import tensorflow as tf

# TensorFlow would otherwise reserve the memory of the accelerator that JAX
# trains on. Here, so that it happens once and before TensorFlow's first op.
tf.config.set_visible_devices([], 'GPU')
# The images of a batch are the parallelism; threads inside one image would only
# compete with them, and the option of a dataset does not reach all operations.
tf.config.threading.set_intra_op_parallelism_threads(1)


def repeatable(dataset: tf.data.Dataset, threads: int) -> tf.data.Dataset:
  """Returns `dataset` with a thread pool of its own and elements in order.

  Args:
    dataset: any dataset.
    threads: size of the pool, 0 for all cores.
  """
  options = tf.data.Options()
  options.deterministic = True
  # Nothing here is left to it, and its thread, asleep for ever longer, can
  # hold up the end of a stream, the longer the stream was.
  options.autotune.enabled = False
  options.threading.private_threadpool_size = worker_count(threads)
  options.threading.max_intra_op_parallelism = 1
  return dataset.with_options(options)


def worker_count(threads: int) -> int:
  """Number of worker threads for `config.data.threads` (0: all cores)."""
  return threads or os.cpu_count() or 1
