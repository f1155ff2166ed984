"""SemPPL: positives from augmentations and from predicted labels.

Bosnjak et al., "SemPPL: Predicting pseudo-labels for better contrastive
representations", ICLR 2023, arXiv 2301.05158. Its parent is ReLICv2 (Tomasev
et al., arXiv 2201.05119). The authors released no training code; what their
text leaves open is a field of `config.semppl`, and the docstrings say which.

One step: the target embeddings of labelled rows enter a queue per large view;
every unlabelled row gets a pseudo-label by k-NN votes over the queues; every
row with a label draws semantic positives of that label; the loss contrasts
both kinds of positives against the same few negatives.
"""

import functools

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
import ml_collections

from semppl_jax import knn, losses, memory as memory_lib, mesh as mesh_lib
from semppl_jax.batch import Batch
from semppl_jax.memory import Queue
from semppl_jax.methods import negatives as negatives_lib, pseudo_labels
from semppl_jax.methods.method import LossResult, Method
from semppl_jax.network import Outputs
from semppl_jax.schedules import queue_rows


def make(config: ml_collections.ConfigDict, mesh: Mesh) -> Method:
  """Builds SemPPL from `config.semppl`, for the devices of `mesh`."""
  s = config.semppl
  large, small = config.views.large.count, config.views.small.count
  dtype = jnp.dtype(config.network.precision)
  init_memory = functools.partial(
    memory_lib.empty,
    views=large,
    rows=queue_rows(s.queue, config.batch_size),
    dim=config.network.projector.output,
    dtype=dtype,
  )
  label_rows = pseudo_labels.make(s, mesh)
  draw_negatives = negatives_lib.make(s, large + small, mesh)
  contrast = functools.partial(
    _contrast,
    pairs=_pairs(large, small, s.include_same_view),
    invariance=losses.INVARIANCE[s.invariance],
  )

  def loss(
    online: Outputs,
    target: Outputs | None,
    batch: Batch,
    memory: Queue,
    key: jax.Array,
  ) -> LossResult:
    assert target is not None and online.prediction is not None
    assert target.projection is not None
    o = losses.normalize(online.prediction)
    t = jax.lax.stop_gradient(losses.normalize(target.projection))
    # Gathered once, in the compute type (choice: half the bytes on a pod);
    # everything below reads this copy, so all see the same rounding.
    t = t.astype(dtype)
    everyone = jax.lax.with_sharding_constraint(t, mesh_lib.replicated(mesh))
    queue = memory_lib.push(memory, everyone, batch.label, batch.index, mesh)
    negative_key, draw_key = jax.random.split(key)
    negative = draw_negatives(
      negative_key, o, everyone, batch.index, s.temperature
    )

    def terms(positive, weight):
      logits = losses.positive_logits(o, positive, s.temperature)
      return contrast(logits, negative, weight)

    l_augm, i_augm = terms(t[:, :, None], jnp.ones(o.shape[0], jnp.float32))
    labels, metrics = label_rows(jax.lax.stop_gradient(o), batch, queue)
    l_sempos, i_sempos = jnp.float32(0), jnp.float32(0)
    if s.semantic_positives:
      exclude = (
        batch.index if s.exclude_self else jnp.full_like(batch.index, -1)
      )
      drawn = knn.draw_same_label(
          draw_key, queue.label, queue.index, labels, exclude,
          (large, s.num_positives),
      )  # fmt: skip
      positive = memory_lib.take(queue, drawn.slot, mesh)
      valid = drawn.valid.astype(jnp.float32)
      l_sempos, i_sempos = terms(positive, valid)
      metrics['semantic/anchors'] = jnp.mean(valid)
    contrastive = l_augm + s.semantic_weight * l_sempos
    total = s.contrast_weight * contrastive
    total += s.invariance_weight * (i_augm + i_sempos)
    metrics |= {
      'loss/augmentation': l_augm,
      'loss/semantic': l_sempos,
      'loss/invariance_augmentation': i_augm,
      'loss/invariance_semantic': i_sempos,
      'queue/fill': queue.size.astype(jnp.float32) / queue.label.shape[0],
    }
    return LossResult(total, queue, metrics)

  return Method(
    name='semppl',
    heads=('projector', 'predictor'),
    target='ema',
    bn_groups='view',
    init_memory=init_memory,
    memory_sharding=memory_lib.sharding(mesh),
    loss=loss,
  )


def _pairs(large: int, small: int, include_same_view: bool) -> jax.Array:
  """Which pairs (online view i, target view j) count, float32 [V, L]."""
  same = jnp.eye(large + small, large, dtype=jnp.float32)
  return jnp.ones_like(same) if include_same_view else 1.0 - same


def _contrast(
  positive: jax.Array,
  negative: negatives_lib.NegativeLogits,
  weight: jax.Array,
  *,
  pairs: jax.Array,
  invariance,
) -> tuple[jax.Array, jax.Array]:
  """Contrastive term and invariance penalty of one kind of positives.

  For a large view i the pair (i, j) is held against (j, i), with the gradient
  through the latter; for a small i, (j, j) is the one without gradient.

  Args:
    positive: logits of the positives [B, V, L, P].
    negative: logits of the negatives of each pair and of its partner.
    weight: rows that count [B], float32.
    pairs: pairs that count [V, L], float32.
    invariance: divergence of (stopped, trained) log-probabilities.

  Returns:
    Two scalars: mean -log p, and the mean invariance.
  """
  large = positive.shape[2]
  own = losses.log_probability(positive, negative.own)
  other = losses.log_probability(losses.partner(positive), negative.partner)
  stopped = jnp.concatenate([own[:, :large], other[:, large:]], axis=1)
  trained = jnp.concatenate([other[:, :large], own[:, large:]], axis=1)
  return (
    -losses.pair_mean(own[..., 0], weight, pairs),
    losses.pair_mean(invariance(stopped, trained), weight, pairs),
  )
