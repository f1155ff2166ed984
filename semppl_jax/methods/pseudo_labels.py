"""Labels for unlabelled rows, by votes of nearest neighbors (SemPPL, sec. 2).

No gradient, and of the true labels of unlabelled rows nothing but metrics:
`diagnostic_label` enters a label only under `pseudo_labels='oracle'`.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array
import ml_collections

from semppl_jax.data.batch import Batch
from semppl_jax.methods import knn, memory_bank as memory_bank_lib
from semppl_jax.methods.base import Metrics, PseudoLabels
from semppl_jax.methods.memory_bank import Queue

Labeler = Callable[[Array, Batch, Queue], tuple[PseudoLabels, Metrics]]


def make_labeler(config: ml_collections.ConfigDict, mesh: Mesh) -> Labeler:
  """Returns the function that labels the rows of a batch.

  Args:
    config: `config.semppl`. `pseudo_labels`: `'knn'` votes, `'none'` leaves
      unlabelled rows without a label, `'oracle'` takes the true one.
    mesh: the devices that hold the queue.

  Returns:
    `(anchor [B, V, D], batch, queue) -> (PseudoLabels, metrics)`; a row without
    a label has -1.
  """

  def by_votes(anchor, batch, queue):
    vote, neighbor_ids = _vote(config, mesh, anchor, batch, queue)
    label = jnp.where(batch.label >= 0, batch.label, vote.label)
    metrics = _metrics(label, batch, vote.share)
    return PseudoLabels(label, vote.share, neighbor_ids), metrics

  def by_truth(anchor, batch, queue):
    del anchor, queue
    label = jnp.where(batch.label >= 0, batch.label, batch.diagnostic_label)
    share = jnp.ones(label.shape, jnp.float32)
    return PseudoLabels(label, share), _metrics(label, batch, share)

  def unlabelled(anchor, batch, queue):
    del anchor, queue
    share = jnp.ones(batch.label.shape, jnp.float32)
    return PseudoLabels(batch.label, share), {}

  table = {'knn': by_votes, 'oracle': by_truth, 'none': unlabelled}
  return table[config.pseudo_labels]


def _vote(
  config: ml_collections.ConfigDict,
  mesh: Mesh,
  anchor: Array,
  batch: Batch,
  queue: Queue,
) -> tuple[knn.Vote, Array]:
  """Takes one vote per online large view and queue, and the majority of L x L.

  A k-NN with k > 1 first votes within itself, by the same rule, and its vote
  carries the summed similarity of the winner's neighbors (choice). Returned
  beside it are the identities of all neighbors [B, L x L x K].
  """
  views = 1 if config.vote_views == 'single' else queue.embedding.shape[0]
  bank = queue.embedding[:views]
  rows, dim = anchor.shape[0], anchor.shape[-1]
  query = anchor[:, :views].astype(bank.dtype).reshape(rows * views, dim)
  identity = (
    batch.index if config.exclude_self else jnp.full_like(batch.index, -2)
  )
  nearest = knn.top_k(
    query,
    jnp.repeat(identity, views),
    bank,
    jnp.where(queue.label >= 0, queue.index, -1),
    memory_bank_lib.age(queue),
    config.k,
    mesh,
  )  # [B x L, L, K]
  exists = jnp.isfinite(nearest.similarity)
  # In one, since a gather costs by its rows and not by their width.
  columns = jnp.stack([queue.label, queue.index], axis=-1)[nearest.slot]
  label = jnp.where(exists, columns[..., 0], knn.NO_LABEL)
  neighbor_ids = jnp.where(exists, columns[..., 1], memory_bank_lib.EMPTY)
  each = knn.vote(label, nearest.similarity, config.tie)
  votes = views * views
  vote = knn.vote(
    each.label.reshape(rows, votes),
    each.similarity.reshape(rows, votes),
    config.tie,
  )
  return vote, neighbor_ids.reshape(rows, -1)


def _metrics(label: Array, batch: Batch, share: Array) -> Metrics:
  """Returns coverage, agreement, class entropy and, as a diagnostic, accuracy.

  Each is NaN in a batch without a row to measure it on.
  """
  unlabelled = batch.label < 0
  covered = unlabelled & (label >= 0)
  known = covered & (batch.diagnostic_label >= 0)
  correct = label == batch.diagnostic_label
  same = (label[:, None] == label[None, :]) & covered[None, :]
  count = jnp.sum(same, axis=-1, dtype=jnp.float32)
  total = jnp.sum(covered, dtype=jnp.float32)
  surprise = jnp.log(jnp.maximum(total, 1.0) / jnp.maximum(count, 1.0))
  return {
    'pseudo/coverage': _mean(covered.astype(jnp.float32), unlabelled),
    'pseudo/agreement': _mean(share, covered),
    'pseudo/entropy': _mean(surprise, covered),
    'pseudo/accuracy': _mean(correct.astype(jnp.float32), known),
  }


def _mean(value: Array, mask: Array) -> Array:
  """Returns the mean of the entries where `mask` holds; NaN where none does."""
  mask = mask.astype(jnp.float32)
  return jnp.sum(value * mask) / jnp.sum(mask)
