"""SemPPL: positives from augmentations and from predicted labels.

Bosnjak et al., "SemPPL: Predicting pseudo-labels for better contrastive
representations", ICLR 2023, arXiv 2301.05158. Its parent is ReLICv2 (Tomasev
et al., arXiv 2201.05119). The authors released no training code; what their
text leaves open is a field of `config.semppl`, and the docstrings say which.

One step: the target embeddings of labelled rows enter a queue per large view;
every unlabelled row gets a pseudo-label by k-NN votes over the queues; every
row with a label draws semantic positives of that label; the loss contrasts
both kinds of positives against the same few negatives. Pseudo-labels take no
gradient, and of the true labels of unlabelled rows nothing but metrics:
`diagnostic_label` enters a label only under `pseudo_labels='oracle'`.
"""

from collections.abc import Callable, Iterator
import functools

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array
import ml_collections

from semppl_jax.config import durations
from semppl_jax.config.constraints import (
  Constraints,
  COUNT,
  must,
  NON_NEGATIVE,
  RunDims,
)
from semppl_jax.data.batch import Batch
from semppl_jax.methods import (
  knn,
  memory_bank as memory_bank_lib,
  pairwise_contrast,
  requirements,
)
from semppl_jax.methods.base import (
  Inputs,
  LossResult,
  Method,
  MethodContext,
  Metrics,
  PseudoLabels,
)
from semppl_jax.methods.memory_bank import Queue
from semppl_jax.runtime import mesh as mesh_lib

Labeler = Callable[[Array, Batch, Queue], tuple[PseudoLabels, Metrics]]


def make(config: ml_collections.ConfigDict, context: MethodContext) -> Method:
  """Builds SemPPL from `config.semppl`."""
  s, mesh = config.semppl, context.mesh
  large = config.views.large.count
  init_memory = functools.partial(
    memory_bank_lib.empty,
    views=large,
    rows=durations.queue_rows(s.queue, config.batch_size),
    dim=config.network.projector.output,
    dtype=jnp.dtype(config.network.precision),
  )
  predict_labels = make_labeler(s, mesh)
  contrast_fn = pairwise_contrast.make_contrast(s, config, context)

  def loss(inputs: Inputs) -> LossResult:
    batch = inputs.batch
    negative_key, draw_key = jax.random.split(inputs.key)
    contrast = contrast_fn(inputs, negative_key)
    l_augm, i_augm = contrast.augmentation
    queue = memory_bank_lib.push(
      inputs.memory, contrast.target, batch.label, batch.index, mesh
    )
    labels, metrics = predict_labels(
      jax.lax.stop_gradient(contrast.online), batch, queue
    )
    l_sempos, i_sempos = jnp.float32(0), jnp.float32(0)
    if s.semantic_positives:
      exclude = (
        batch.index if s.exclude_self else jnp.full_like(batch.index, -1)
      )
      drawn = knn.draw_same_label(
          draw_key, queue.label, queue.index, labels.label, exclude,
          (large, s.num_positives),
      )  # fmt: skip
      positive = memory_bank_lib.take(queue, drawn.slot, mesh)
      valid = drawn.valid.astype(jnp.float32)
      labels = labels._replace(positive_ids=_identities(queue, drawn, mesh))
      l_sempos, i_sempos = contrast.pair_losses(positive, valid)
      metrics['semantic/anchors'] = jnp.mean(valid)
    total = s.contrast_weight * (l_augm + s.semantic_weight * l_sempos)
    total += s.invariance_weight * (i_augm + i_sempos)
    metrics |= {
      'loss/augmentation': l_augm,
      'loss/semantic': l_sempos,
      'loss/invariance_augmentation': i_augm,
      'loss/invariance_semantic': i_sempos,
      'queue/fill': queue.size.astype(jnp.float32) / queue.label.shape[0],
    }
    return LossResult(total, queue, metrics, labels)

  return Method(
    name='semppl',
    heads=('projector', 'predictor'),
    target='ema',
    bn_groups='view',
    init_memory=init_memory,
    memory_sharding=memory_bank_lib.sharding(mesh),
    loss=loss,
  )


def _identities(queue: Queue, drawn: knn.Draw, mesh: Mesh) -> Array:
  """Returns the images in the drawn slots [B, L x P]; -1 without a draw."""
  # Else the compiler splits the identities, and sums over the devices.
  index = jax.lax.with_sharding_constraint(
    queue.index, mesh_lib.replicated(mesh)
  )
  slot = jax.lax.with_sharding_constraint(
    drawn.slot.reshape(len(drawn.slot), -1), mesh_lib.sharded(mesh)
  )
  return jnp.where(drawn.valid[:, None], index[slot], memory_bank_lib.EMPTY)


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


_SHARED = pairwise_contrast.constraints('semppl')
FIELDS = Constraints(
  ranges={
    **_SHARED.ranges,
    'semppl.semantic_weight': NON_NEGATIVE,
    'semppl.num_positives': COUNT,
    'semppl.k': COUNT,
  },
  choices={
    **_SHARED.choices,
    'semppl.pseudo_labels': ('knn', 'none', 'oracle'),
    'semppl.vote_views': ('all', 'single'),
    'semppl.tie': ('similarity', 'smallest_class'),
  },
)


def problems(config: ml_collections.ConfigDict, dims: RunDims) -> Iterator[str]:
  """Yields a sentence for each field of `config.semppl` that cannot work."""
  s, size = config.semppl, config.batch_size
  yield from pairwise_contrast.problems(config, 'semppl')
  try:
    rows = durations.queue_rows(s.queue, size)
  except ValueError as error:
    yield f'config.semppl.queue={s.queue!r} is not a queue size. {error}'
    return
  if rows < 1:
    yield must(config, 'semppl.queue', 'be one or more rows')
    return
  if rows % dims.device_count:
    yield must(
      config,
      'semppl.queue',
      f'be a multiple of the {dims.device_count} devices, and has {rows} rows',
    )
  expected = requirements.labels_per_batch(config, dims)
  if expected is not None and rows < expected:
    yield must(
      config,
      'semppl.queue',
      f'hold the {expected} labels of one batch, and has {rows} rows',
    )
  if s.k > rows:
    yield must(config, 'semppl.k', f'be at most the {rows} rows of the queue')
