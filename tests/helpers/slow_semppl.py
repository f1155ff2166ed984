"""SemPPL's equations in NumPy: row by row, pair by pair, vote by vote."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from semppl_jax.methods import knn, memory_bank as memory_bank_lib
from semppl_jax.methods.pairwise_contrast import sample_negatives

# Compiled once for all tests.
_draw_negatives = jax.jit(sample_negatives, static_argnums=(2, 3, 4))
_draw_positives = jax.jit(knn.draw_same_label, static_argnums=5)


class LossInputs(NamedTuple):
  """Arguments of the loss, besides the config.

  Attributes:
    online: predictions before normalization [B, V, D].
    target: unit target embeddings, rounded to the compute type [B, L, D].
    batch: the batch.
    queue: the queue after this step's rows.
    key: the step's key for the loss.
    mesh: devices, for the draws.
  """

  online: np.ndarray
  target: np.ndarray
  batch: object
  queue: memory_bank_lib.Queue
  key: jax.Array
  mesh: object


def unit(x):
  x = np.asarray(x, np.float64)
  return x / np.linalg.norm(x, axis=-1, keepdims=True)


def loss(config, inputs: LossInputs, frozen=None):
  """The loss; stopped likelihoods are taken at `frozen` [B, V, D] if given."""
  s = config.semppl
  o = unit(inputs.online)
  still = o if frozen is None else unit(frozen)
  t = np.asarray(inputs.target, np.float64)
  rows, views, large = *o.shape[:2], t.shape[1]
  chosen, slot, valid = _draws(config, inputs)
  bank = np.asarray(inputs.queue.embedding, np.float64)
  kept = [
    (i, j)
    for i in range(views)
    for j in range(large)
    if i != j or s.include_same_view
  ]
  total = np.zeros(4)  # L_augm, I_augm, L_sempos, I_sempos.
  for i, j in kept:
    # The pair (i, j) of a large view is held against (j, i), of a small one
    # against (j, j): view `a` sees target view `b`.
    a, b = (j, i) if i < large else (j, j)
    for m in range(rows):
      n = chosen[m] if s.negatives == 'shared' else chosen[m, i, j]

      def terms(own, other, m=m, n=n, i=i, j=j, a=a, b=b):
        first = _log_p(o[m, i], own, t[n, j], s.temperature)
        if i < large:
          stopped = _log_p(still[m, i], own, t[n, j], s.temperature)
          trained = _log_p(o[m, a], other, t[n, b], s.temperature)
        else:
          stopped = _log_p(still[m, a], other, t[n, b], s.temperature)
          trained = first
        return np.array([-first[0], _invariance(s, stopped, trained)])

      total[:2] += terms(t[m, j], t[m, b]) / rows
      if s.semantic_positives and valid[m]:
        for p in range(s.num_positives):
          total[2:] += terms(bank[j, slot[m, j, p]], bank[b, slot[m, b, p]]) / (
            s.num_positives * valid.sum()
          )
  l_augm, i_augm, l_sem, i_sem = total / len(kept)
  return s.contrast_weight * (
    l_augm + s.semantic_weight * l_sem
  ) + s.invariance_weight * (i_augm + i_sem)


def _log_p(anchor, positive, negative, tau):
  """All log-probabilities of one softmax: positive first."""
  logits = np.array([anchor @ positive, *(anchor @ n for n in negative)]) / tau
  top = logits.max()
  return logits - top - np.log(np.exp(logits - top).sum())


def _invariance(s, stopped, trained):
  if s.invariance == 'log_ratio':
    return stopped[0] - trained[0]
  return np.sum(np.exp(stopped) * (stopped - trained))


def _draws(config, inputs: LossInputs):
  """Negatives and semantic positives: the draws of the step's own key."""
  s, batch, queue = config.semppl, inputs.batch, inputs.queue
  views, large = inputs.online.shape[1], inputs.target.shape[1]
  negative_key, draw_key = jax.random.split(inputs.key)
  pairs = () if s.negatives == 'shared' else (views, large)
  chosen = _draw_negatives(
    negative_key, batch.index, s.num_negatives, inputs.mesh, pairs
  )
  own = batch.index if s.exclude_self else jnp.full_like(batch.index, -1)
  drawn = _draw_positives(
      draw_key, queue.label, queue.index, jnp.asarray(labels(config, inputs)),
      own, (large, s.num_positives),
  )  # fmt: skip
  return np.asarray(chosen), np.asarray(drawn.slot), np.asarray(drawn.valid)


def labels(config, inputs: LossInputs):
  """Labels and pseudo-labels, by sorting the whole queue for each vote."""
  s, batch = config.semppl, jax.device_get(inputs.batch)
  queue = inputs.queue._replace(
    label=np.asarray(inputs.queue.label), index=np.asarray(inputs.queue.index)
  )
  result = np.asarray(batch.label).copy()
  age = np.asarray(memory_bank_lib.age(queue))
  views = 1 if s.vote_views == 'single' else inputs.target.shape[1]
  bank = np.asarray(queue.embedding, np.float32)
  o = np.asarray(unit(inputs.online).astype(np.float32))
  o = np.asarray(jnp.asarray(o, queue.embedding.dtype), np.float32)
  for m in np.flatnonzero(result < 0):
    if s.pseudo_labels == 'oracle':
      result[m] = batch.diagnostic_label[m]
    if s.pseudo_labels != 'knn':
      continue
    there = queue.label >= 0
    if s.exclude_self:
      there &= queue.index != batch.index[m]
    votes = []
    for i in range(views):
      for j in range(views):
        score = bank[j] @ o[m, i]
        near = sorted((-score[n], age[n], n) for n in np.flatnonzero(there))
        near = [(int(queue.label[n]), score[n]) for _, _, n in near[: s.k]]
        if near:
          votes.append(_majority(near, s.tie))
    if votes:
      result[m] = _majority(votes, s.tie)[0]
  return result


def _majority(votes, tie):
  """Winner of (label, similarity) votes, with its summed similarity."""
  count, support = {}, {}
  for label, similarity in votes:
    count[label] = count.get(label, 0) + 1
    support[label] = support.get(label, 0.0) + similarity

  def rank(label):
    summed = -support[label] if tie == 'similarity' else 0.0
    return -count[label], summed, label

  winner = min(count, key=rank)
  return winner, support[winner]
