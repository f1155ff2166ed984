"""ReLICv2: contrast and invariance between views, without any label.

Tomasev et al., "Pushing the limits of self-supervised ResNets: can we
outperform supervised learning without labels on ImageNet?", arXiv 2201.05119.
SemPPL is this loss with semantic positives beside.
"""

from collections.abc import Iterator

import jax
import ml_collections

from semppl_jax.config.constraints import RunDims
from semppl_jax.methods import pairwise_contrast
from semppl_jax.methods.base import Inputs, LossResult, Method, Setting


def make(config: ml_collections.ConfigDict, setting: Setting) -> Method:
  """Builds ReLICv2 from `config.relicv2`."""
  r = config.relicv2
  pairs = pairwise_contrast.make(r, config, setting)

  def loss(inputs: Inputs) -> LossResult:
    anchors = pairs.embed(inputs)
    # As SemPPL, which draws positives by the second of two keys.
    key = jax.random.split(inputs.key)[0]
    terms = pairs.against(anchors, inputs.batch.index, key)
    contrast, invariance = pairwise_contrast.of_views(terms, anchors)
    total = r.contrast_weight * contrast + r.invariance_weight * invariance
    metrics = {
      'loss/augmentation': contrast,
      'loss/invariance_augmentation': invariance,
    }
    return LossResult(total, inputs.memory, metrics)

  return Method(
    name='relicv2',
    heads=('projector', 'predictor'),
    target='ema',
    bn_groups='view',
    loss=loss,
  )


FIELDS = pairwise_contrast.fields('relicv2')


def problems(config: ml_collections.ConfigDict, dims: RunDims) -> Iterator[str]:
  """Yields a sentence for each field of `config.relicv2` that does not fit."""
  del dims
  yield from pairwise_contrast.problems(config, 'relicv2')
