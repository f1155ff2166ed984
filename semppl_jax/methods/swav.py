"""SwAV: predict from one view which prototypes another is assigned to.

Caron et al., "Unsupervised learning of visual features by contrasting cluster
assignments", NeurIPS 2020, arXiv 2006.09882. Assignments share the whole batch,
and the embeddings of a queue where a batch is small, out equally among the
prototypes (Sinkhorn-Knopp).
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections

from semppl_jax.config import durations
from semppl_jax.config.constraints import (
  Constraints,
  COUNT,
  must,
  POSITIVE,
  RunDims,
)
from semppl_jax.losses import assignment, contrastive
from semppl_jax.methods.base import Inputs, LossResult, Method, Setting
from semppl_jax.runtime import mesh as mesh_lib

_KERNEL = ('prototypes', 'w')


class Features(NamedTuple):
  """Embeddings of earlier batches, newest first, or how they are laid out.

  Attributes:
    embedding: unit embeddings of each large view [L, N, D], float32.
    filled: rows that were written, int32.
  """

  embedding: Any
  filled: Any


def make(config: ml_collections.ConfigDict, setting: Setting) -> Method:
  """Builds SwAV from `config.swav`."""
  s = config.swav
  large, dim = config.views.large.count, config.network.projector.output
  held = durations.queue_rows(s.queue, config.batch_size)
  queue_from = setting.steps(s.queue_from)
  thawed = setting.steps(s.freeze)
  whole = mesh_lib.replicated(setting.mesh)

  def init_memory() -> Features:
    empty = jnp.zeros((large, held, dim), jnp.float32)
    return Features(empty, jnp.zeros((), jnp.int32))

  def assign(scores: jax.Array) -> jax.Array:
    return assignment.sinkhorn(scores, s.epsilon, s.iterations)

  def assignments(inputs: Inputs) -> jax.Array:
    """Rows of probabilities [B, L, K], without gradient."""
    assert inputs.target is not None and inputs.target.scores is not None
    scores, memory = inputs.target.scores, inputs.memory
    rows = scores.shape[0]

    def alone():
      return jax.vmap(assign, 1, 1)(scores)

    def with_queue():
      kernel = _kernel(inputs.params)
      old = jnp.einsum(
        'lnd,dk->nlk', memory.embedding, kernel, precision=contrastive.EXACT
      )
      joined = jnp.concatenate([scores, old])
      return jax.vmap(assign, 1, 1)(joined)[:rows]

    if not held:
      return alone()
    ready = (inputs.step >= queue_from) & (memory.filled >= held)
    return jax.lax.cond(ready, with_queue, alone)

  def push(memory: Features, projection: jax.Array) -> Features:
    if not held:
      return memory
    # A few thousand rows: every device holds them all.
    new = jax.lax.with_sharding_constraint(
      contrastive.normalize(projection), whole
    )
    joined = jnp.concatenate([jnp.swapaxes(new, 0, 1), memory.embedding], 1)
    filled = jnp.minimum(memory.filled + new.shape[0], held)
    return Features(joined[:, :held], filled)

  def loss(inputs: Inputs) -> LossResult:
    assert inputs.online.scores is not None and inputs.target is not None
    assert inputs.target.projection is not None
    aim = assignments(inputs)
    logs = jax.nn.log_softmax(inputs.online.scores / s.temperature, axis=-1)
    each = -jnp.einsum('blk,bvk->lv', aim, logs, precision=contrastive.EXACT)
    views = logs.shape[1]
    others = 1.0 - jnp.eye(large, views, dtype=jnp.float32)
    value = jnp.sum(each * others) / (jnp.sum(others) * logs.shape[0])
    used = jnp.mean(aim, axis=(0, 1))
    metrics = {
      'loss/swapped': value,
      'swav/perplexity': jnp.exp(-jnp.sum(jax.scipy.special.xlogy(used, used))),
    }
    memory = push(inputs.memory, inputs.target.projection)
    return LossResult(value, memory, metrics)

  def after_gradient(grads: Any, step: jax.Array) -> Any:
    """Leaves the prototypes as they are while the encoder is young."""
    moving = jnp.where(step < thawed, 0.0, 1.0)
    return _with_kernel(grads, _kernel(grads) * moving)

  def after_update(params: Any, step: jax.Array) -> Any:
    """Brings the prototypes back to unit length."""
    del step
    return _with_kernel(params, contrastive.normalize(_kernel(params).T).T)

  return Method(
    name='swav',
    heads=('projector', 'prototypes'),
    target='stop_gradient',
    init_memory=init_memory,
    memory_sharding=Features(whole, whole),
    loss=loss,
    after_gradient=after_gradient,
    after_update=after_update,
  )


def _kernel(params: Any) -> jax.Array:
  module, name = _KERNEL
  return params[module][name]


def _with_kernel(params: Any, kernel: jax.Array) -> Any:
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
  """Yields a sentence for each field of `config.swav` that does not fit."""
  del dims
  s = config.swav
  if config.views.large.count < 2:
    yield must(config, 'views.large.count', "be 2 or more where method='swav'")
  for field in ('queue_from', 'freeze'):
    yield from durations.invalid_duration(s[field], f'swav.{field}')
  try:
    durations.queue_rows(s.queue, config.batch_size)
  except ValueError as error:
    yield f'config.swav.queue={s.queue!r} is no size. {error}'
