"""Nearest neighbours over a sharded bank, votes, and draws by label.

Scores are never gathered: each device finds the best of its own shard and
sends, to the device that owns a query, only K candidates for it. SemPPL
(arXiv 2301.05158, section 2) uses it to pseudo-label; the evaluators use it
to classify.
"""

import functools
from typing import Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec as P

NO_LABEL = -1
# Scores of one chunk of queries against a shard, at most.
_CHUNK_BYTES = 64 * 2**20


class Neighbours(NamedTuple):
  """The K best of a bank for each query, best first.

  Attributes:
    similarity: dot products [M, Q, K], float32; -inf where there is none.
    slot: positions in the bank [M, Q, K], int32.
  """

  similarity: jax.Array
  slot: jax.Array


def top_k(
  query: jax.Array,
  query_index: jax.Array,
  bank: jax.Array,
  bank_index: jax.Array,
  age: jax.Array,
  k: int,
  mesh: Mesh,
) -> Neighbours:
  """Finds the K most similar rows of each of Q banks, exactly.

  Args:
    query: embeddings [M, D]; M must be a multiple of the device count.
    query_index: identities [M], int32; a query never meets its own identity.
    bank: Q banks [Q, N, D] with common identities, split along N.
    bank_index: identities [N], int32; slots below 0 are empty.
    age: rank [N], int32, distinct; of equal similarities the smaller age wins.
    k: neighbours, 1 <= K <= N.
    mesh: the devices that hold the bank.

  Returns:
    Neighbours of every query in every bank, split along M.
  """
  chex.assert_rank([query, bank, query_index, bank_index, age], [2, 3, 1, 1, 1])
  axis = mesh.axis_names[0]

  @functools.partial(
    jax.shard_map,
    mesh=mesh,
    in_specs=(P(), P(), P(None, axis), P(axis), P(axis)),
    out_specs=P(axis),
  )
  def find(query, query_index, bank, bank_index, age):
    found = _local(query, query_index, bank, bank_index, age, k, axis)
    return _merge(found, k, axis, mesh.size)

  return find(query, query_index, bank, bank_index, age)


def _local(query, query_index, bank, bank_index, age, k: int, axis: str):
  """Best of the local shard for all queries: similarity, slot and age."""
  rows = bank.shape[1]
  # Newest first: top_k and argmax break ties towards the lower position.
  order = jnp.argsort(age).astype(jnp.int32)
  bank, bank_index, age = bank[:, order], bank_index[order], age[order]
  first = rows * jax.lax.axis_index(axis)

  def search_bank(rows_of_bank):
    def search(chunk):
      some, identity = chunk
      return _best(some, identity, rows_of_bank, bank_index, min(k, rows))

    return jax.lax.map(search, _chunks((query, query_index), rows))

  similarity, position = jax.lax.map(search_bank, bank)
  shape = (bank.shape[0], query.shape[0], min(k, rows))
  similarity, position = similarity.reshape(shape), position.reshape(shape)
  return similarity, order[position] + first, age[position]


def _chunks(query, rows: int):
  """Splits queries [M, ...] into [chunks, m, ...] of bounded score memory."""
  total = query[0].shape[0]
  most = max(1, _CHUNK_BYTES // (4 * rows))
  count = next(c for c in range(-(-total // most), total + 1) if total % c == 0)
  return jax.tree.map(
    lambda x: x.reshape((count, total // count) + x.shape[1:]), query
  )


def _best(query, query_index, bank, bank_index, k: int):
  """Top k of one bank for one chunk: similarity and position [m, k]."""
  score = jnp.einsum(
    'md,nd->mn',
    query,
    bank,
    precision=jax.lax.Precision.HIGHEST,
    preferred_element_type=jnp.float32,
  )
  own = query_index[:, None] == bank_index[None, :]
  score = jnp.where(own | (bank_index < 0)[None, :], -jnp.inf, score)
  if k > 1:
    return jax.lax.top_k(score, k)
  position = jnp.argmax(score, axis=-1, keepdims=True).astype(jnp.int32)
  return jnp.take_along_axis(score, position, axis=-1), position


def _merge(candidates, k: int, axis: str, shards: int) -> Neighbours:
  """Sends candidates [Q, M, K] to each query's device and keeps the best."""

  def to_owner(x):
    banks, total, kept = x.shape
    x = x.reshape(banks, shards, total // shards, kept)
    x = jax.lax.all_to_all(x, axis, split_axis=1, concat_axis=1, tiled=True)
    x = jnp.transpose(x, (2, 0, 1, 3))
    return x.reshape(total // shards, banks, shards * kept)

  similarity, slot, age = (to_owner(x) for x in candidates)
  negated, _, slot = jax.lax.sort((-similarity, age, slot), num_keys=2)
  # Adding zero turns the -0.0 of a negated zero back into 0.0.
  return Neighbours(-negated[..., :k] + 0.0, slot[..., :k])


class Vote(NamedTuple):
  """Outcome of a majority vote.

  Attributes:
    label: winning class [...], int32; -1 where nobody could vote.
    similarity: summed similarity of the winner's votes [...], float32.
    share: share of the valid votes that the winner has [...], in [0, 1].
  """

  label: jax.Array
  similarity: jax.Array
  share: jax.Array


def vote(
  label: jax.Array,
  similarity: jax.Array,
  tie: Literal['similarity', 'smallest_class'] = 'similarity',
) -> Vote:
  """Majority over the last axis.

  Args:
    label: votes [..., K], int32; votes below 0 do not count.
    similarity: similarity behind each vote [..., K], float32.
    tie: among equally frequent labels, `'similarity'` takes the one with the
      larger summed similarity and then the smaller label (a plain mode favours
      small classes while votes rarely agree); `'smallest_class'` takes the
      smaller label at once.
  """
  chex.assert_equal_shape([label, similarity])
  valid = label >= 0
  same = (label[..., :, None] == label[..., None, :]) & valid[..., None, :]
  count = jnp.where(valid, jnp.sum(same, axis=-1, dtype=jnp.int32), 0)
  given = jnp.where(same, similarity[..., None, :], 0.0)
  support = jnp.sum(given, axis=-1)
  best = valid & (count == jnp.max(count, axis=-1, keepdims=True))
  if tie == 'similarity':
    ranked = jnp.where(best, support, -jnp.inf)
    best &= ranked == jnp.max(ranked, axis=-1, keepdims=True)
  none = jnp.iinfo(jnp.int32).max
  winner = jnp.min(jnp.where(best, label, none), axis=-1)
  winner = jnp.where(winner == none, NO_LABEL, winner)
  mine = valid & (label == winner[..., None])
  voters = jnp.maximum(jnp.sum(valid, axis=-1, dtype=jnp.int32), 1)
  return Vote(
    label=winner,
    similarity=jnp.sum(jnp.where(mine, similarity, 0.0), axis=-1),
    share=jnp.sum(mine, axis=-1, dtype=jnp.float32)
    / voters.astype(jnp.float32),
  )


class Draw(NamedTuple):
  """Slots drawn by label.

  Attributes:
    slot: drawn slots [B, ...], int32; 0 where nothing could be drawn.
    valid: whether the row had anything to draw from [B], bool.
  """

  slot: jax.Array
  valid: jax.Array


def draw_same_label(
  key: jax.Array,
  label: jax.Array,
  index: jax.Array,
  anchor_label: jax.Array,
  anchor_index: jax.Array,
  shape: tuple[int, ...],
) -> Draw:
  """Draws slots of each anchor's label, uniformly and with replacement.

  Sorting by (label, identity) makes an anchor's candidates one range and its
  own entries one range inside it, so no [B, N] mask is ever made.

  Args:
    key: random key.
    label: class of each slot [N], int32; -1 where empty.
    index: identity of each slot [N], int32.
    anchor_label: class to draw for [B], int32; below 0 draws nothing.
    anchor_index: identity never to draw [B], int32; -1 excludes nothing.
    shape: draws per anchor; the slots have shape [B, *shape].
  """
  rows = label.shape[0]
  slot = jnp.arange(rows, dtype=jnp.int32)
  label, index, slot = jax.lax.sort((label, index, slot), num_keys=3)
  low = jnp.zeros_like(anchor_label)
  high = jnp.full_like(anchor_label, rows)
  start = _search(label, low, high, anchor_label)
  stop = _search(label, low, high, anchor_label + 1)
  own_start = _search(index, start, stop, anchor_index)
  own_stop = _search(index, start, stop, anchor_index + 1)
  own = own_stop - own_start
  eligible = (stop - start) - own
  valid = (eligible > 0) & (anchor_label >= 0)

  def spread(x):
    return x.reshape(x.shape + (1,) * len(shape))

  drawn = jax.random.randint(
    key, anchor_label.shape + shape, 0, spread(jnp.maximum(eligible, 1))
  )
  position = spread(start) + drawn
  position += jnp.where(position >= spread(own_start), spread(own), 0)
  chosen = slot[jnp.clip(position, 0, rows - 1)]
  return Draw(jnp.where(spread(valid), chosen, 0), valid)


def _search(values, low, high, target):
  """First position in [low, high) whose value is >= target, else high."""

  def halve(_, bounds):
    low, high = bounds
    middle = (low + high) // 2
    below = values[jnp.minimum(middle, values.shape[0] - 1)] < target
    open_ = low < high
    return (
      jnp.where(open_ & below, middle + 1, low),
      jnp.where(open_ & ~below, middle, high),
    )

  steps = values.shape[0].bit_length() + 1
  return jax.lax.fori_loop(0, steps, halve, (low, high))[0]
