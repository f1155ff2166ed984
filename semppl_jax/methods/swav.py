"""SwAV: predict from one view which prototypes another is assigned to.

Caron et al., "Unsupervised learning of visual features by contrasting cluster
assignments", NeurIPS 2020, arXiv 2006.09882. Sinkhorn-Knopp assigns the batch,
and a queue of earlier embeddings where a batch is small, to the prototypes in
equal shares.
"""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32, Int32, PyTree
import ml_collections

from semppl_jax.config import durations
from semppl_jax.config.constraints import (
  Constraints,
  COUNT,
  POSITIVE,
  RunDims,
)
from semppl_jax.losses import assignment, contrastive
from semppl_jax.methods import requirements
from semppl_jax.methods.base import Inputs, LossResult, Method, MethodContext
from semppl_jax.runtime import mesh as mesh_lib

_KERNEL = ('prototypes', 'w')


class FeatureQueue(NamedTuple):
  """Embeddings of earlier batches, newest first.

  Attributes:
    embedding: unit embeddings of each large view [L, N, D].
    filled: rows that were written.
  """

  embedding: Float32[Array, 'L N D']
  filled: Int32[Array, '']


def make(config: ml_collections.ConfigDict, context: MethodContext) -> Method:
  """Builds SwAV from `config.swav`."""
  s = config.swav
  large, dim = config.views.large.count, config.network.projector.output
  size = durations.queue_rows(s.queue, config.batch_size)
  queue_from = context.steps(s.queue_from)
  frozen_until = context.steps(s.freeze)
  whole = mesh_lib.replicated(context.mesh)

  def init_memory() -> FeatureQueue:
    empty = jnp.zeros((large, size, dim), jnp.float32)
    return FeatureQueue(empty, jnp.zeros((), jnp.int32))

  def assign(scores: Array) -> Array:
    return assignment.sinkhorn(scores, s.epsilon, s.iterations)

  def assignments(inputs: Inputs) -> Array:
    """Computes rows of probabilities [B, L, K], without gradient."""
    assert inputs.target is not None and inputs.target.scores is not None
    scores, memory = inputs.target.scores, inputs.memory
    rows = scores.shape[0]

    def without_queue():
      return jax.vmap(assign, 1, 1)(scores)

    def with_queue():
      kernel = _kernel(inputs.params)
      old = jnp.einsum(
        'lnd,dk->nlk', memory.embedding, kernel, precision=contrastive.EXACT
      )
      joined = jnp.concatenate([scores, old])
      return jax.vmap(assign, 1, 1)(joined)[:rows]

    if not size:
      return without_queue()
    ready = (inputs.step >= queue_from) & (memory.filled >= size)
    return jax.lax.cond(ready, with_queue, without_queue)

  def push(memory: FeatureQueue, projection: Array) -> FeatureQueue:
    if not size:
      return memory
    # A few thousand rows: every device holds them all.
    new = jax.lax.with_sharding_constraint(
      contrastive.normalize(projection), whole
    )
    joined = jnp.concatenate([jnp.swapaxes(new, 0, 1), memory.embedding], 1)
    filled = jnp.minimum(memory.filled + new.shape[0], size)
    return FeatureQueue(joined[:, :size], filled)

  def loss(inputs: Inputs) -> LossResult:
    assert inputs.online.scores is not None and inputs.target is not None
    assert inputs.target.projection is not None
    targets = assignments(inputs)
    logs = jax.nn.log_softmax(inputs.online.scores / s.temperature, axis=-1)
    each = -jnp.einsum(
      'blk,bvk->lv', targets, logs, precision=contrastive.EXACT
    )
    views = logs.shape[1]
    others = 1.0 - jnp.eye(large, views, dtype=jnp.float32)
    value = jnp.sum(each * others) / (jnp.sum(others) * logs.shape[0])
    used = jnp.mean(targets, axis=(0, 1))
    metrics = {
      'loss/swapped': value,
      'swav/perplexity': jnp.exp(-jnp.sum(jax.scipy.special.xlogy(used, used))),
    }
    memory = push(inputs.memory, inputs.target.projection)
    return LossResult(value, memory, metrics)

  def after_gradient(grads: PyTree, step: Array) -> PyTree:
    """Freezes the prototypes for the first steps."""
    moving = jnp.where(step < frozen_until, 0.0, 1.0)
    return _with_kernel(grads, _kernel(grads) * moving)

  def after_update(params: PyTree, step: Array) -> PyTree:
    """Brings the prototypes back to unit length."""
    del step
    return _with_kernel(params, contrastive.normalize(_kernel(params).T).T)

  return Method(
    name='swav',
    heads=('projector', 'prototypes'),
    target='stop_gradient',
    init_memory=init_memory,
    memory_sharding=FeatureQueue._make([whole, whole]),
    loss=loss,
    after_gradient=after_gradient,
    after_update=after_update,
  )


def _kernel(params: PyTree) -> Array:
  module, name = _KERNEL
  return params[module][name]


def _with_kernel(params: PyTree, kernel: Array) -> PyTree:
  module, name = _KERNEL
  return params | {module: params[module] | {name: kernel}}


FIELDS = Constraints(
  ranges={
    'swav.temperature': POSITIVE,
    'swav.epsilon': POSITIVE,
    'swav.iterations': COUNT,
  }
)


def problems(config: ml_collections.ConfigDict, dims: RunDims) -> Iterator[str]:
  """Yields a sentence for each field of `config.swav` that cannot work."""
  del dims
  s = config.swav
  yield from requirements.several_large_views(config)
  for field in ('queue_from', 'freeze'):
    yield from durations.invalid_duration(s[field], f'swav.{field}')
  try:
    durations.queue_rows(s.queue, config.batch_size)
  except ValueError as error:
    yield f'config.swav.queue={s.queue!r} is not a queue size. {error}'
