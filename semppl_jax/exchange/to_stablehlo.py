"""The network as one StableHLO program, by `jax.export`.

It runs on CPUs, NVIDIA GPUs and TPUs, for any number of images, by any JAX of
at least the next six months (docs.jax.dev, "Compatibility guarantees" of
exporting) and needs none of this package's code.
"""

from collections.abc import Callable
import pathlib

import jax
from jax import export
import numpy as np

from semppl_jax.exchange import inference
from semppl_jax.models.weights import Weights

# Largest difference, over the largest value of an output. The program is the
# same; only a compiler for another device may sum in another order.
TOLERANCE = 2e-5
PLATFORMS = ('cpu', 'cuda', 'tpu')


def check(weights: Weights, heads: tuple[str, ...]) -> None:
  """Stops on weights beyond the 2 GiB of jax.export's flat buffers.

  Raises:
    WeightsError: there are more.
  """
  inference.check_size(weights, heads, 'StableHLO')


def write(path: pathlib.Path, weights: Weights, heads: tuple[str, ...]) -> None:
  """Writes images uint8 [B, crop, crop, 3] to outputs, weights inside."""
  batch = export.symbolic_shape('B')
  images = jax.ShapeDtypeStruct(
    (*batch, *inference.image_shape(weights)), np.uint8
  )
  program = jax.jit(inference.make(weights, heads))
  exported = export.export(program, platforms=PLATFORMS)(images)
  path.write_bytes(exported.serialize())


def read_back(
  path: pathlib.Path,
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
  """Returns what the file computes of uint8 images [n, crop, crop, 3]."""
  compiled = jax.jit(export.deserialize(bytearray(path.read_bytes())).call)
  return lambda images: dict(jax.device_get(compiled(images)))
