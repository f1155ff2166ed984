"""PAWS: views agree on the classes of their soft neighbours in a support batch.

Assran et al., "Semi-supervised learning of visual features by
non-parametrically predicting view assignments with support samples", ICCV 2021,
arXiv 2104.13963. Its neighbours are labelled images of the same pass through
the same network; there is no target network and no queue.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import ml_collections

from semppl_jax.config.constraints import Constraints, POSITIVE, Range, RunDims
from semppl_jax.data.batch import Batch
from semppl_jax.losses import assignment, nt_xent
from semppl_jax.methods import requirements
from semppl_jax.methods.base import (
  Guesses,
  Inputs,
  LossResult,
  Method,
  Metrics,
  Setting,
)
from semppl_jax.models.network import Outputs
from semppl_jax.runtime import mesh as mesh_lib

# Smaller targets are set to 0, as in the public code.
_LEAST_TARGET = 1e-4


def make(config: ml_collections.ConfigDict, setting: Setting) -> Method:
  """Builds PAWS from `config.paws` and `config.support`."""
  p = config.paws
  classes = config.support.classes_per_batch
  whole = mesh_lib.replicated(setting.mesh)

  def predict(outputs: Outputs, batch: Batch, head: str) -> jax.Array:
    """Soft neighbours of all views [B, V, C]."""
    views, support = getattr(outputs, head), getattr(outputs.support, head)
    assert batch.support is not None
    column = jnp.repeat(batch.support.column, support.shape[1])
    rows = jax.lax.with_sharding_constraint(_flat(support), whole)
    label = assignment.smooth(column, classes, p.label_smoothing)
    found = assignment.soft_nn(_flat(views), rows, label, p.temperature)
    return found.reshape(*views.shape[:2], classes)

  def loss(inputs: Inputs) -> LossResult:
    online, target, batch = inputs.online, inputs.target, inputs.batch
    assert target is not None
    head = 'prediction' if p.predictor else 'projection'
    probability = predict(online, batch, head)
    aim = assignment.sharpen(predict(target, batch, 'projection'), p.sharpening)
    each = assignment.cross_entropy(
      _partners(aim, probability.shape[1]), probability, _LEAST_TARGET
    )
    consistency = jnp.mean(each)
    sharp = assignment.sharpen(_flat(probability), p.sharpening)
    me_max = assignment.me_max(sharp)
    metrics = {
      'loss/consistency': consistency,
      'loss/me_max': me_max,
      'paws/confidence': jnp.mean(jnp.max(aim, axis=-1)),
    }
    guesses = _guesses(batch, aim)
    metrics |= _diagnostics(
      target, batch, guesses.label, classes, p.temperature
    )
    total = consistency + me_max if p.me_max else consistency
    return LossResult(total, inputs.memory, metrics, guesses)

  heads = ('projector', 'predictor') if p.predictor else ('projector',)
  return Method(
    name='paws',
    heads=heads,
    target='stop_gradient',
    support=True,
    loss=loss,
  )


def _flat(x: jax.Array) -> jax.Array:
  """Rows [B V, ...] of views [B, V, ...]."""
  return x.reshape(-1, x.shape[-1])


def _partners(aim: jax.Array, views: int) -> jax.Array:
  """Targets [B, V, C] from those of the two large views [B, 2, C].

  A large view has the other's; a small one the mean of both (section 3).
  """
  rows, _, classes = aim.shape
  mean = jnp.mean(aim, axis=1, keepdims=True)
  small = jnp.broadcast_to(mean, (rows, views - 2, classes))
  return jnp.concatenate([aim[:, ::-1], small], axis=1)


def _guesses(batch: Batch, aim: jax.Array) -> Guesses:
  """The likeliest class of each row by the mean of its targets [B, 2, C]."""
  support = batch.support
  assert support is not None
  class_of = jax.ops.segment_max(support.label, support.column, aim.shape[-1])
  mean = jnp.mean(aim, axis=1)
  return Guesses(class_of[jnp.argmax(mean, axis=-1)], jnp.max(mean, axis=-1))


def _diagnostics(
  target: Outputs,
  batch: Batch,
  voted: jax.Array,
  classes: int,
  temperature: float,
) -> Metrics:
  """What figure 3 plots beside the loss, and how many targets are right."""
  support, rows = batch.support, target.support
  assert support is not None and rows is not None
  assert target.projection is not None and rows.projection is not None
  label = jnp.repeat(support.label, rows.projection.shape[1])
  known = (batch.label < 0) & (batch.diagnostic_label >= 0)
  right = known & (voted == batch.diagnostic_label)
  # Of a class that the support batch lacks, none can be.
  share = jnp.sum(right, dtype=jnp.float32) / jnp.sum(known, dtype=jnp.float32)
  # A row alone in its class is compared with nothing.
  contrast = jnp.float32(jnp.nan)
  if len(label) > classes:
    contrast = nt_xent.suncet(_flat(rows.projection), label, temperature)
  return {
    'diagnostic/nt_xent': nt_xent.nt_xent(target.projection, temperature),
    'diagnostic/suncet': contrast,
    'pseudo/accuracy': share,
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
