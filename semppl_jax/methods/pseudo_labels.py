"""Labels for unlabelled rows, by votes of nearest neighbours (SemPPL, sec. 2).

No gradient, and of the true labels of unlabelled rows nothing but metrics:
`diagnostic_label` enters a label only under `pseudo_labels='oracle'`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
import ml_collections

from semppl_jax.data.batch import Batch
from semppl_jax.methods import knn, memory_bank as memory_bank_lib
from semppl_jax.methods.base import Guesses
from semppl_jax.methods.memory_bank import Queue

Metrics = dict[str, jax.Array]
LabelRows = Callable[[jax.Array, Batch, Queue], tuple[Guesses, Metrics]]


def make(config: ml_collections.ConfigDict, mesh: Mesh) -> LabelRows:
  """Returns the function that labels the rows of a batch.

  Args:
    config: `config.semppl`. `pseudo_labels`: `'knn'` votes, `'none'` leaves
      unlabelled rows without a label, `'oracle'` takes the true one.
    mesh: the devices that hold the queue.

  Returns:
    `(anchor [B, V, D], batch, queue) -> (Guesses, metrics)`; a row without a
    label has -1.
  """

  def by_votes(anchor, batch, queue):
    result, voter = _votes(config, mesh, anchor, batch, queue)
    label = jnp.where(batch.label >= 0, batch.label, result.label)
    metrics = _metrics(label, batch, result.share)
    return Guesses(label, result.share, voter), metrics

  def by_truth(anchor, batch, queue):
    del anchor, queue
    label = jnp.where(batch.label >= 0, batch.label, batch.diagnostic_label)
    share = jnp.ones(label.shape, jnp.float32)
    return Guesses(label, share), _metrics(label, batch, share)

  def nothing(anchor, batch, queue):
    del anchor, queue
    return Guesses(batch.label, jnp.ones(batch.label.shape, jnp.float32)), {}

  table = {'knn': by_votes, 'oracle': by_truth, 'none': nothing}
  return table[config.pseudo_labels]


def _votes(
  config, mesh: Mesh, anchor: jax.Array, batch: Batch, queue: Queue
) -> tuple[knn.Vote, jax.Array]:
  """One vote per online large view and queue, then the majority of L x L.

  A k-NN with k > 1 first votes within itself, by the same rule, and its vote
  carries the summed similarity of the winner's neighbours (choice). Beside the
  vote go the identities of all neighbours, int32 [B, L x L x K].
  """
  views = 1 if config.vote_views == 'single' else queue.embedding.shape[0]
  bank = queue.embedding[:views]
  rows, dim = anchor.shape[0], anchor.shape[-1]
  query = anchor[:, :views].astype(bank.dtype).reshape(rows * views, dim)
  identity = (
    batch.index if config.exclude_self else jnp.full_like(batch.index, -2)
  )
  found = knn.top_k(
    query,
    jnp.repeat(identity, views),
    bank,
    jnp.where(queue.label >= 0, queue.index, -1),
    memory_bank_lib.age(queue),
    config.k,
    mesh,
  )  # [B x L, L, K]
  there = jnp.isfinite(found.similarity)
  # In one, since a gather costs by its rows and not by what is in them.
  facts = jnp.stack([queue.label, queue.index], axis=-1)[found.slot]
  label = jnp.where(there, facts[..., 0], knn.NO_LABEL)
  voter = jnp.where(there, facts[..., 1], memory_bank_lib.EMPTY)
  each = knn.vote(label, found.similarity, config.tie)
  votes = views * views
  result = knn.vote(
    each.label.reshape(rows, votes),
    each.similarity.reshape(rows, votes),
    config.tie,
  )
  return result, voter.reshape(rows, -1)


def _metrics(label: jax.Array, batch: Batch, share: jax.Array) -> Metrics:
  """Coverage, agreement, class entropy and, as a diagnostic, accuracy.

  Each is NaN in a batch without a row to measure it on.
  """
  unlabelled = batch.label < 0
  covered = unlabelled & (label >= 0)
  known = covered & (batch.diagnostic_label >= 0)
  right = label == batch.diagnostic_label
  same = (label[:, None] == label[None, :]) & covered[None, :]
  count = jnp.sum(same, axis=-1, dtype=jnp.float32)
  voters = jnp.sum(covered, dtype=jnp.float32)
  surprise = jnp.log(jnp.maximum(voters, 1.0) / jnp.maximum(count, 1.0))
  return {
    'pseudo/coverage': _mean(covered.astype(jnp.float32), unlabelled),
    'pseudo/agreement': _mean(share, covered),
    'pseudo/entropy': _mean(surprise, covered),
    'pseudo/accuracy': _mean(right.astype(jnp.float32), known),
  }


def _mean(value: jax.Array, mask: jax.Array) -> jax.Array:
  """Mean of the entries where `mask` holds; NaN where none does."""
  mask = mask.astype(jnp.float32)
  return jnp.sum(value * mask) / jnp.sum(mask)
