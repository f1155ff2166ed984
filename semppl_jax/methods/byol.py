"""BYOL: predict what a slower copy of the network makes of another view.

Grill et al., "Bootstrap your own latent: a new approach to self-supervised
learning", arXiv 2006.07733. Small views are predicted from, and not predicted
(multi-crop, Caron et al., arXiv 2006.09882).
"""

from collections.abc import Iterator

import ml_collections

from semppl_jax.config.constraints import must, RunDims
from semppl_jax.losses import nt_xent
from semppl_jax.methods.base import Inputs, LossResult, Method, Setting


def make(config: ml_collections.ConfigDict, setting: Setting) -> Method:
  """Builds BYOL, which has no fields beyond the network's and `config.ema`."""
  del config, setting

  def loss(inputs: Inputs) -> LossResult:
    online, target = inputs.online.prediction, inputs.target
    assert online is not None and target is not None
    assert target.projection is not None
    value = nt_xent.regression(online, target.projection)
    return LossResult(value, inputs.memory, {'loss/regression': value})

  return Method(
    name='byol',
    heads=('projector', 'predictor'),
    target='ema',
    bn_groups='view',
    loss=loss,
  )


def problems(config: ml_collections.ConfigDict, dims: RunDims) -> Iterator[str]:
  """Yields a sentence where there is no other view to predict."""
  del dims
  if config.views.large.count < 2:
    yield must(config, 'views.large.count', "be 2 or more where method='byol'")
