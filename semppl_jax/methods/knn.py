"""Nearest neighbors over a sharded bank, votes, and draws by label.

Scores are never gathered: each device finds the best of its own shard and
sends, to the device that owns a query, only K candidates for it. SemPPL
(arXiv 2301.05158, section 2) pseudo-labels with it.
"""

import functools
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec as P
from jaxtyping import Array, Bool, Float, Float32, Int32, Key

NO_LABEL = -1
# Scores of one chunk of queries against a shard, at most.
_CHUNK_BYTES = 64 * 2**20


class Neighbors(NamedTuple):
  """The K nearest rows of each bank for each query, nearest first.

  Attributes:
    similarity: dot products [M, Q, K]; -inf where there is none.
    slot: positions in the bank [M, Q, K].
  """

  similarity: Float32[Array, 'M Q K']
  slot: Int32[Array, 'M Q K']


def top_k(
  query: Float[Array, 'M D'],
  query_index: Int32[Array, 'M'],
  bank: Float[Array, 'Q N D'],
  bank_index: Int32[Array, 'N'],
  age: Int32[Array, 'N'],
  k: int,
  mesh: Mesh,
) -> Neighbors:
  """Finds the K most similar rows of each of Q banks, exactly.

  Args:
    query: embeddings [M, D]; M must be a multiple of the device count.
    query_index: identities [M]; a query never meets its own identity.
    bank: Q banks [Q, N, D] with common identities, split along N.
    bank_index: identities [N]; slots below 0 are empty.
    age: rank [N], distinct; of equal similarities the smaller age wins.
    k: neighbors, 1 <= K <= N.
    mesh: the devices that hold the bank.

  Returns:
    Neighbors of every query in every bank, split along M.

  Example:
    >>> mesh = Mesh(jax.devices()[:1], ('data',))
    >>> bank, index = jnp.array([[[1.0], [3.0], [2.0]]]), jnp.arange(3)
    >>> find = jax.jit(top_k, static_argnames=('k', 'mesh'))
    >>> query, own = jnp.ones((1, 1)), jnp.array([-2])
    >>> find(query, own, bank, index, index, k=2, mesh=mesh).slot.tolist()
    [[[1, 2]]]
  """
  axis = mesh.axis_names[0]

  @functools.partial(
    jax.shard_map,
    mesh=mesh,
    in_specs=(P(), P(), P(None, axis), P(axis), P(axis)),
    out_specs=P(axis),
  )
  def find(query, query_index, bank, bank_index, age):
    candidates = _local(query, query_index, bank, bank_index, age, k, axis)
    return _merge(candidates, k, axis, mesh.size)

  return find(query, query_index, bank, bank_index, age)


def _local(query, query_index, bank, bank_index, age, k: int, axis: str):
  """Finds the best of the local shard: similarity, slot and age."""
  rows = bank.shape[1]
  # Newest first: top_k and argmax break ties towards the lower position.
  order = jnp.argsort(age).astype(jnp.int32)
  bank, bank_index, age = bank[:, order], bank_index[order], age[order]
  first = rows * jax.lax.axis_index(axis)

  def search_bank(rows_of_bank):
    def search(chunk):
      rows_of_query, index = chunk
      return _best(rows_of_query, index, rows_of_bank, bank_index, min(k, rows))

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
  """Finds the top k of one bank for one chunk of m queries, [m, k] each."""
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


def _merge(candidates, k: int, axis: str, shards: int) -> Neighbors:
  """Sends candidates [Q, M, K] to each query's device and keeps the best."""

  def to_owner(x):
    banks, total, best = x.shape
    x = x.reshape(banks, shards, total // shards, best)
    x = jax.lax.all_to_all(x, axis, split_axis=1, concat_axis=1, tiled=True)
    x = jnp.transpose(x, (2, 0, 1, 3))
    return x.reshape(total // shards, banks, shards * best)

  similarity, slot, age = (to_owner(x) for x in candidates)
  negated, _, slot = jax.lax.sort((-similarity, age, slot), num_keys=2)
  # Adding zero turns the -0.0 of a negated zero back into 0.0.
  return Neighbors(-negated[..., :k] + 0.0, slot[..., :k])


class Vote(NamedTuple):
  """Outcome of a majority vote.

  Attributes:
    label: winning class [...]; -1 without a valid vote.
    similarity: summed similarity of the winner's votes [...].
    share: share of the valid votes that the winner has [...], in [0, 1].
  """

  label: Int32[Array, '*rows']
  similarity: Float32[Array, '*rows']
  share: Float32[Array, '*rows']


def vote(
  label: Int32[Array, '*rows K'],
  similarity: Float32[Array, '*rows K'],
  tie: Literal['similarity', 'smallest_class'] = 'similarity',
) -> Vote:
  """Takes the majority over the last axis.

  Args:
    label: votes [..., K]; votes below 0 do not count.
    similarity: similarity behind each vote [..., K].
    tie: among equally frequent labels, `'similarity'` takes the one with the
      larger summed similarity and then the smaller label (a plain mode favors
      small classes while votes rarely agree); `'smallest_class'` takes the
      smaller label at once.

  Returns:
    The winner of each row.

  Example:
    >>> vote(jnp.array([2, 1, 2, -1]), jnp.array([0.5, 0.9, 0.5, 0.9])).label
    Array(2, dtype=int32)
  """
  valid = label >= 0
  same = (label[..., :, None] == label[..., None, :]) & valid[..., None, :]
  count = jnp.where(valid, jnp.sum(same, axis=-1, dtype=jnp.int32), 0)
  support = jnp.sum(jnp.where(same, similarity[..., None, :], 0.0), axis=-1)
  best = valid & (count == jnp.max(count, axis=-1, keepdims=True))
  if tie == 'similarity':
    ranked = jnp.where(best, support, -jnp.inf)
    best &= ranked == jnp.max(ranked, axis=-1, keepdims=True)
  none = jnp.iinfo(jnp.int32).max
  winner = jnp.min(jnp.where(best, label, none), axis=-1)
  winner = jnp.where(winner == none, NO_LABEL, winner)
  for_winner = valid & (label == winner[..., None])
  voters = jnp.maximum(jnp.sum(valid, axis=-1, dtype=jnp.int32), 1)
  return Vote(
    label=winner,
    similarity=jnp.sum(jnp.where(for_winner, similarity, 0.0), axis=-1),
    share=jnp.sum(for_winner, axis=-1, dtype=jnp.float32)
    / voters.astype(jnp.float32),
  )


class Draw(NamedTuple):
  """Slots drawn by label.

  Attributes:
    slot: drawn slots [B, ...]; 0 where nothing could be drawn.
    valid: True for rows that had anything to draw from [B].
  """

  slot: Int32[Array, 'B *draws']
  valid: Bool[Array, 'B']


def draw_same_label(
  key: Key[Array, ''],
  label: Int32[Array, 'N'],
  index: Int32[Array, 'N'],
  anchor_label: Int32[Array, 'B'],
  anchor_index: Int32[Array, 'B'],
  shape: tuple[int, ...],
) -> Draw:
  """Draws slots of each anchor's label, uniformly and with replacement.

  Sorting by (label, identity) makes an anchor's candidates one range and its
  own entries one range inside it, so no [B, N] mask is ever made.

  Args:
    key: random key.
    label: class of each slot [N]; -1 where empty.
    index: identity of each slot [N].
    anchor_label: class to draw for [B]; below 0 draws nothing.
    anchor_index: identity never to draw [B]; -1 excludes nothing.
    shape: draws per anchor; the slots have shape [B, *shape].

  Returns:
    Slots, and which anchors had any.

  Example:
    >>> label, index = jnp.array([4, 9, 4]), jnp.array([0, 1, 2])
    >>> key, anchor = jax.random.key(0), (jnp.array([4]), jnp.array([0]))
    >>> draw_same_label(key, label, index, *anchor, (2,)).slot.tolist()
    [[2, 2]]
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

  def per_draw(x):
    return x.reshape(x.shape + (1,) * len(shape))

  drawn = jax.random.randint(
    key, anchor_label.shape + shape, 0, per_draw(jnp.maximum(eligible, 1))
  )
  position = per_draw(start) + drawn
  position += jnp.where(position >= per_draw(own_start), per_draw(own), 0)
  chosen = slot[jnp.clip(position, 0, rows - 1)]
  return Draw(jnp.where(per_draw(valid), chosen, 0), valid)


def _search(values, low, high, target):
  """Finds the first position in [low, high) with a value >= target or high."""

  def halve(_, bounds):
    low, high = bounds
    middle = (low + high) // 2
    below = values[jnp.minimum(middle, values.shape[0] - 1)] < target
    is_open = low < high
    return (
      jnp.where(is_open & below, middle + 1, low),
      jnp.where(is_open & ~below, middle, high),
    )

  steps = values.shape[0].bit_length() + 1
  return jax.lax.fori_loop(0, steps, halve, (low, high))[0]
