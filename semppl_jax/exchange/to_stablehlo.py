"""Export as one StableHLO program, by `jax.export`.

It runs on CPUs, NVIDIA GPUs and TPUs, for any number of images, with any JAX of
at least the next six months (docs.jax.dev, "Compatibility guarantees" of
exporting), without this package.
"""

import pathlib

import jax
from jax import export
import numpy as np

from semppl_jax.exchange import inference
from semppl_jax.exchange.inference import HostFn
from semppl_jax.models.weights import Weights

# The program is the same; a compiler for another device may reorder sums.
TOLERANCE = 2e-5
PLATFORMS = ('cpu', 'cuda', 'tpu')


def check(weights: Weights, heads: tuple[str, ...]) -> None:
  """Checks that the weights fit the 2 GiB of jax.export's flat buffers."""
  inference.check_size(weights, heads, 'StableHLO')


def write(path: pathlib.Path, weights: Weights, heads: tuple[str, ...]) -> None:
  """Writes one program that contains the weights."""
  batch = export.symbolic_shape('B')
  images = jax.ShapeDtypeStruct(
    (*batch, *inference.image_shape(weights)), np.uint8
  )
  program = jax.jit(inference.make_fn(weights, heads))
  exported = export.export(program, platforms=PLATFORMS)(images)
  path.write_bytes(exported.serialize())


def read_back(path: pathlib.Path) -> HostFn:
  """Returns the function that the file computes."""
  compiled = jax.jit(export.deserialize(bytearray(path.read_bytes())).call)
  return lambda images: dict(jax.device_get(compiled(images)))
