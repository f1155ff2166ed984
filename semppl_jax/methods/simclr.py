"""SimCLR: two views of an image attract, all other images of a batch repel.

Chen et al., "A simple framework for contrastive learning of visual
representations", arXiv 2002.05709; with a projector of three layers, version 2,
arXiv 2006.10029.
"""

from collections.abc import Iterator

import ml_collections

from semppl_jax.config.constraints import Constraints, POSITIVE, RunDims
from semppl_jax.losses import nt_xent
from semppl_jax.methods import requirements
from semppl_jax.methods.base import Inputs, LossResult, Method, MethodContext


def make(config: ml_collections.ConfigDict, context: MethodContext) -> Method:
  """Builds SimCLR from `config.simclr`."""
  del context

  def loss(inputs: Inputs) -> LossResult:
    projection = inputs.online.projection
    assert projection is not None
    value = nt_xent.nt_xent(projection, config.simclr.temperature)
    return LossResult(value, inputs.memory, {'loss/nt_xent': value})

  return Method(name='simclr', heads=('projector',), loss=loss)


FIELDS = Constraints(ranges={'simclr.temperature': POSITIVE})


def problems(config: ml_collections.ConfigDict, dims: RunDims) -> Iterator[str]:
  """Yields a sentence for each view that SimCLR cannot use."""
  del dims
  yield from requirements.two_large_views(config)
  yield from requirements.no_small_views(config)
