"""ReLICv2: contrast and invariance between views, without any label.

Tomasev et al., "Pushing the limits of self-supervised ResNets: can we
outperform supervised learning without labels on ImageNet?", arXiv 2201.05119.
SemPPL adds semantic positives to this loss.
"""

from collections.abc import Iterator

import jax
import ml_collections

from semppl_jax.config.constraints import RunDims
from semppl_jax.methods import pairwise_contrast
from semppl_jax.methods.base import Inputs, LossResult, Method, MethodContext


def make(config: ml_collections.ConfigDict, context: MethodContext) -> Method:
  """Builds ReLICv2 from `config.relicv2`."""
  r = config.relicv2
  contrast_fn = pairwise_contrast.make_contrast(r, config, context)

  def loss(inputs: Inputs) -> LossResult:
    # As SemPPL, which draws positives by the second of two keys.
    key = jax.random.split(inputs.key)[0]
    l_augm, i_augm = contrast_fn(inputs, key).augmentation
    total = r.contrast_weight * l_augm + r.invariance_weight * i_augm
    metrics = {
      'loss/augmentation': l_augm,
      'loss/invariance_augmentation': i_augm,
    }
    return LossResult(total, inputs.memory, metrics)

  return Method(
    name='relicv2',
    heads=('projector', 'predictor'),
    target='ema',
    bn_groups='view',
    loss=loss,
  )


FIELDS = pairwise_contrast.constraints('relicv2')


def problems(config: ml_collections.ConfigDict, dims: RunDims) -> Iterator[str]:
  """Yields a sentence for each field of `config.relicv2` that cannot work."""
  del dims
  yield from pairwise_contrast.problems(config, 'relicv2')
