"""BYOL: predict a slower copy of the network's output for another view.

Grill et al., "Bootstrap your own latent: a new approach to self-supervised
learning", arXiv 2006.07733. Small views are predicted from, and not predicted
(multi-crop, Caron et al., arXiv 2006.09882).
"""

from collections.abc import Iterator

import ml_collections

from semppl_jax.config.constraints import RunDims
from semppl_jax.losses.byol import regression
from semppl_jax.methods import requirements
from semppl_jax.methods.base import Inputs, LossResult, Method, MethodContext


def make(config: ml_collections.ConfigDict, context: MethodContext) -> Method:
  """Builds BYOL, which has no fields beyond the network's and `config.ema`."""
  del config, context

  def loss(inputs: Inputs) -> LossResult:
    online, target = inputs.online.prediction, inputs.target
    assert online is not None and target is not None
    assert target.projection is not None
    value = regression(online, target.projection)
    return LossResult(value, inputs.memory, {'loss/regression': value})

  return Method(
    name='byol',
    heads=('projector', 'predictor'),
    target='ema',
    bn_groups='view',
    loss=loss,
  )


def problems(config: ml_collections.ConfigDict, dims: RunDims) -> Iterator[str]:
  """Yields a sentence if there is no other view to predict."""
  del dims
  yield from requirements.several_large_views(config)
