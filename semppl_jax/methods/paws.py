"""PAWS: views agree on the classes of their soft neighbors in a support batch.

Assran et al., "Semi-supervised learning of visual features by
non-parametrically predicting view assignments with support samples", ICCV 2021,
arXiv 2104.13963. Its neighbors are labelled images of the same pass through
the same network; there is no target network and no queue.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jaxtyping import Array
import ml_collections
import optax

from semppl_jax.config.constraints import Constraints, POSITIVE, Range, RunDims
from semppl_jax.data.batch import Batch
from semppl_jax.losses import assignment, nt_xent
from semppl_jax.methods import requirements
from semppl_jax.methods.base import (
  Inputs,
  LossResult,
  Method,
  MethodContext,
  Metrics,
  PseudoLabels,
)
from semppl_jax.models.network import Outputs
from semppl_jax.runtime import mesh as mesh_lib

# Smaller targets are set to 0, as in the public code.
_MIN_TARGET = 1e-4


def make(config: ml_collections.ConfigDict, context: MethodContext) -> Method:
  """Builds PAWS from `config.paws` and `config.support`."""
  p = config.paws
  classes = config.support.classes_per_batch
  replicated = mesh_lib.replicated(context.mesh)

  def predict(outputs: Outputs, batch: Batch, head: str) -> Array:
    """Classifies all views by their soft neighbors [B, V, C]."""
    views, support = getattr(outputs, head), getattr(outputs.support, head)
    assert batch.support is not None
    column = jnp.repeat(batch.support.column, support.shape[1])
    rows = jax.lax.with_sharding_constraint(_flat(support), replicated)
    label = optax.smooth_labels(
      jax.nn.one_hot(column, classes, dtype=jnp.float32), p.label_smoothing
    )
    probability = assignment.soft_nn(_flat(views), rows, label, p.temperature)
    return probability.reshape(*views.shape[:2], classes)

  def loss(inputs: Inputs) -> LossResult:
    online, target, batch = inputs.online, inputs.target, inputs.batch
    assert target is not None
    head = 'prediction' if p.predictor else 'projection'
    probability = predict(online, batch, head)
    target_probability = assignment.sharpen(
      predict(target, batch, 'projection'), p.sharpening
    )
    each = assignment.cross_entropy(
      _targets_of_views(target_probability, probability.shape[1]),
      probability,
      _MIN_TARGET,
    )
    consistency = jnp.mean(each)
    sharp = assignment.sharpen(_flat(probability), p.sharpening)
    me_max = assignment.me_max(sharp)
    labels = _pseudo_labels(batch, target_probability)
    metrics = {
      'loss/consistency': consistency,
      'loss/me_max': me_max,
      'paws/confidence': jnp.mean(jnp.max(target_probability, axis=-1)),
    } | _diagnostics(target, batch, labels.label, classes, p.temperature)
    total = consistency + me_max if p.me_max else consistency
    return LossResult(total, inputs.memory, metrics, labels)

  heads = ('projector', 'predictor') if p.predictor else ('projector',)
  return Method(
    name='paws',
    heads=heads,
    target='stop_gradient',
    support=True,
    loss=loss,
  )


def _flat(x: Array) -> Array:
  """Reshapes views [B, V, ...] to rows [B V, ...]."""
  return x.reshape(-1, x.shape[-1])


def _targets_of_views(target: Array, views: int) -> Array:
  """Returns targets [B, V, C] from those of the two large views [B, 2, C].

  A large view has the other's; a small one the mean of both (section 3).
  """
  rows, _, classes = target.shape
  mean = jnp.mean(target, axis=1, keepdims=True)
  small = jnp.broadcast_to(mean, (rows, views - 2, classes))
  return jnp.concatenate([target[:, ::-1], small], axis=1)


def _pseudo_labels(batch: Batch, target: Array) -> PseudoLabels:
  """Returns the likeliest class of each row by its mean target [B, 2, C]."""
  support = batch.support
  assert support is not None
  classes = target.shape[-1]
  class_of_column = jax.ops.segment_max(support.label, support.column, classes)
  mean = jnp.mean(target, axis=1)
  label = class_of_column[jnp.argmax(mean, axis=-1)]
  return PseudoLabels(label, jnp.max(mean, axis=-1))


def _diagnostics(
  target: Outputs,
  batch: Batch,
  label: Array,
  classes: int,
  temperature: float,
) -> Metrics:
  """Returns the losses of figure 3 and the accuracy of the pseudo-labels."""
  support, rows = batch.support, target.support
  assert support is not None and rows is not None
  assert target.projection is not None and rows.projection is not None
  known = (batch.label < 0) & (batch.diagnostic_label >= 0)
  # Never for a class that the support batch lacks.
  correct = jnp.sum(
    known & (label == batch.diagnostic_label), dtype=jnp.float32
  )
  support_label = jnp.repeat(support.label, rows.projection.shape[1])
  # SuNCEt needs two rows of a class.
  suncet = jnp.float32(jnp.nan)
  if len(support_label) > classes:
    suncet = nt_xent.suncet(_flat(rows.projection), support_label, temperature)
  return {
    'diagnostic/nt_xent': nt_xent.nt_xent(target.projection, temperature),
    'diagnostic/suncet': suncet,
    'pseudo/accuracy': correct / jnp.sum(known, dtype=jnp.float32),
    'pseudo/coverage': jnp.float32(1),
  }


FIELDS = Constraints(
  ranges={
    'paws.temperature': POSITIVE,
    'paws.sharpening': POSITIVE,
    'paws.label_smoothing': Range(0, 1, open_high=True),
  }
)


def problems(config: ml_collections.ConfigDict, dims: RunDims) -> Iterator[str]:
  """Yields a sentence for each field that PAWS cannot work with."""
  yield from requirements.two_large_views(config)
  yield from requirements.support(config, dims)
