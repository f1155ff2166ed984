"""A FIFO of labelled embeddings, sharded over the devices.

One logical ring: slot s lies on the device that owns slice s of the array, so
the device count changes where a row is kept and nothing else. Labels and
identities are small and replicated; embeddings are split along the ring.

A ring written by `dynamic_update_slice` on a sharded array makes the compiler
gather the whole queue. Here every device instead asks, for each slot that it
owns, which incoming row belongs there; the number of rows that come in may
differ from step to step while all shapes stay fixed.
"""

import functools
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

EMPTY = -1

# An array, its shape, or how the devices hold it.
Leaf = jax.Array | Any


class Queue(NamedTuple):
  """The newest labelled rows, one embedding per large view.

  Attributes:
    embedding: unit embeddings [L, N, D], split along N.
    label: class of each slot, int32 [N]; -1 where empty.
    index: identity of each slot's image, int32 [N]; -1 where empty.
    head: slot that the next row takes, int32 scalar in [0, N).
    size: filled slots, int32 scalar in [0, N].
  """

  embedding: Leaf
  label: Leaf
  index: Leaf
  head: Leaf
  size: Leaf


def empty(views: int, rows: int, dim: int, dtype: jnp.dtype) -> Queue:
  """Returns a queue of `rows` empty slots for `views` embeddings each."""
  return Queue(
    embedding=jnp.zeros((views, rows, dim), dtype),
    label=jnp.full((rows,), EMPTY, jnp.int32),
    index=jnp.full((rows,), EMPTY, jnp.int32),
    head=jnp.zeros((), jnp.int32),
    size=jnp.zeros((), jnp.int32),
  )


def sharding(mesh: Mesh) -> Queue:
  """Shardings of a queue's arrays: the embeddings along N, the rest whole."""
  whole = NamedSharding(mesh, P())
  split = NamedSharding(mesh, P(None, *mesh.axis_names, None))
  return Queue(split, whole, whole, whole, whole)


def age(queue: Queue) -> jax.Array:
  """Rows pushed since each slot was written, int32 [N]; 0 is the newest."""
  rows = queue.label.shape[0]
  return jnp.mod(queue.head - 1 - jnp.arange(rows, dtype=jnp.int32), rows)


def push(
  queue: Queue,
  embedding: jax.Array,
  label: jax.Array,
  index: jax.Array,
  mesh: Mesh,
) -> Queue:
  """Appends the labelled rows in batch order; the oldest rows leave.

  Args:
    queue: the queue before this step.
    embedding: unit embeddings of the whole batch [B, L, D].
    label: class of each row, int32 [B]; rows below 0 stay out.
    index: identity of each row's image, int32 [B].
    mesh: the devices that hold the queue.

  Returns:
    The queue after this step.
  """
  chex.assert_rank([embedding, label, index], [3, 1, 1])
  chex.assert_type([label, index], jnp.int32)
  rows = queue.label.shape[0]
  labelled = label >= 0
  count = jnp.sum(labelled, dtype=jnp.int32)
  order = jnp.argsort(~labelled, stable=True).astype(jnp.int32)
  offset = jnp.mod(jnp.arange(rows, dtype=jnp.int32) - queue.head, rows)
  written = offset < count
  # More rows than slots: a slot keeps the last row that would have passed it.
  last = offset + rows * ((count - 1 - offset) // rows)
  source = order[jnp.where(written, last, 0)]
  return Queue(
    embedding=_write(queue.embedding, embedding, source, written, mesh),
    label=jnp.where(written, label[source], queue.label),
    index=jnp.where(written, index[source], queue.index),
    head=jnp.mod(queue.head + count, rows),
    size=jnp.minimum(queue.size + count, rows),
  )


def _write(kept, incoming, source, written, mesh: Mesh) -> jax.Array:
  """Each device fills the slots that it owns from the whole batch."""
  axis = mesh.axis_names[0]

  @functools.partial(
    jax.shard_map,
    mesh=mesh,
    in_specs=(P(None, axis), P(), P(axis), P(axis)),
    out_specs=P(None, axis),
  )
  def write(kept, incoming, source, written):
    rows = jnp.swapaxes(incoming[source], 0, 1).astype(kept.dtype)
    return jnp.where(written[None, :, None], rows, kept)

  return write(kept, incoming, source, written)


def take(queue: Queue, slot: jax.Array, mesh: Mesh) -> jax.Array:
  """Reads chosen rows of every view from the devices that hold them.

  Args:
    queue: the queue.
    slot: slots to read [B, L, P], int32 in [0, N): view l's queue is read at
      `slot[:, l]`. B must be a multiple of the device count.
    mesh: the devices that hold the queue.

  Returns:
    Embeddings [B, L, P, D], split along B.
  """
  chex.assert_rank(slot, 3)
  axis = mesh.axis_names[0]

  @functools.partial(
    jax.shard_map,
    mesh=mesh,
    in_specs=(P(None, axis), P()),
    out_specs=P(axis),
  )
  def read(embedding, slot):
    rows = embedding.shape[1]
    local = slot - rows * jax.lax.axis_index(axis)
    mine = (local >= 0) & (local < rows)
    view = jnp.arange(embedding.shape[0], dtype=jnp.int32)[None, :, None]
    found = embedding[view, jnp.clip(local, 0, rows - 1)]
    found = jnp.where(mine[..., None], found, jnp.zeros((), found.dtype))
    # One device adds the row and all others zero, which is exact.
    return jax.lax.psum_scatter(found, axis, scatter_dimension=0, tiled=True)

  return read(queue.embedding, slot)
