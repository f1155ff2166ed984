"""SuNCEt: a contrast of labelled images by their class, beside SimCLR's.

Assran et al., "Supervision accelerates pre-training in contrastive
semi-supervised learning of visual representations", arXiv 2006.10803: SimCLR +
CT adds it to NT-Xent for the first epochs. Without NT-Xent, on the labelled
images alone, it is PAWS's fine-tuning (arXiv 2104.13963, section 5).
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jaxtyping import Array
import ml_collections

from semppl_jax.config.constraints import (
  Constraints,
  must,
  NON_NEGATIVE,
  POSITIVE,
  RunDims,
)
from semppl_jax.config.durations import invalid_duration
from semppl_jax.losses import nt_xent
from semppl_jax.methods import requirements
from semppl_jax.methods.base import Inputs, LossResult, Method, MethodContext
from semppl_jax.runtime import mesh as mesh_lib


def make(config: ml_collections.ConfigDict, context: MethodContext) -> Method:
  """Builds SuNCEt and its NT-Xent from `config.suncet`."""
  s = config.suncet
  last = context.steps(s.duration)
  whole = mesh_lib.replicated(context.mesh)

  def labelled(inputs: Inputs) -> Array:
    """Computes SuNCEt on the support batch or the batch's labelled rows."""
    if s.labelled == 'support':
      assert inputs.online.support is not None and inputs.batch.support
      projection = inputs.online.support.projection
      label = inputs.batch.support.label
    else:
      projection, label = inputs.online.projection, inputs.batch.label
    assert projection is not None
    # A few rows that all others are compared with: once on every device.
    rows = jax.lax.with_sharding_constraint(projection, whole)
    views = rows.shape[1]
    return nt_xent.suncet(
      rows.reshape(-1, rows.shape[-1]), jnp.repeat(label, views), s.temperature
    )

  def loss(inputs: Inputs) -> LossResult:
    contrast = labelled(inputs)
    if not s.contrast_weight:
      return LossResult(contrast, inputs.memory, {'loss/suncet': contrast})
    assert inputs.online.projection is not None
    contrast = jnp.where(inputs.step < last, contrast, 0.0)
    value = nt_xent.nt_xent(inputs.online.projection, s.temperature)
    total = contrast + s.contrast_weight * value
    metrics = {'loss/suncet': contrast, 'loss/nt_xent': value}
    return LossResult(total, inputs.memory, metrics)

  return Method(
    name='suncet',
    heads=('projector',),
    support=s.labelled == 'support',
    unlabelled=bool(s.contrast_weight),
    loss=loss,
  )


FIELDS = Constraints(
  ranges={
    'suncet.temperature': POSITIVE,
    'suncet.contrast_weight': NON_NEGATIVE,
  },
  choices={'suncet.labelled': ('support', 'batch')},
)


def problems(config: ml_collections.ConfigDict, dims: RunDims) -> Iterator[str]:
  """Yields a sentence for each field of `config.suncet` that cannot work."""
  s = config.suncet
  yield from invalid_duration(s.duration, 'suncet.duration')
  if s.contrast_weight:
    yield from requirements.two_large_views(config)
  yield from requirements.no_small_views(config)
  if s.labelled == 'support':
    yield from requirements.support(config, dims)
    if config.support.images_per_class * config.support.views < 2:
      rule = 'be 2 or more, or support.views: each row needs one of its class'
      yield must(config, 'support.images_per_class', rule)
    return
  rows = requirements.labels_per_batch(config, dims)
  if rows is not None and rows < 2:
    yield must(
      config,
      'suncet.labelled',
      "be 'support' where a batch has less than two labelled rows",
    )
