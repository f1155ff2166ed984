"""FIFO queue of labelled embeddings, sharded over the devices.

One logical ring: slot s lies on the device that owns slice s of the array, so
the device count changes where a row is kept and nothing else. Labels and
identities are small and replicated; embeddings are split along the ring.

A ring written by `dynamic_update_slice` on a sharded array makes the compiler
gather the whole queue. Here every device instead asks, for each slot that it
owns, which incoming row belongs there; the number of rows that come in may
differ from step to step while all shapes stay fixed.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
from jaxtyping import Array, Float, Int32

EMPTY = -1


class Queue(NamedTuple):
  """The newest labelled rows, one embedding per large view.

  Attributes:
    embedding: unit embeddings [L, N, D], split along N.
    label: class of each slot [N]; -1 where empty.
    index: identity of each slot's image [N]; -1 where empty.
    head: slot that the next row takes, in [0, N).
    size: filled slots, in [0, N].
  """

  embedding: Float[Array, 'L N D']
  label: Int32[Array, 'N']
  index: Int32[Array, 'N']
  head: Int32[Array, '']
  size: Int32[Array, '']


def empty(
  views: int, rows: int, dim: int, dtype: jax.typing.DTypeLike
) -> Queue:
  """Returns a queue of empty slots.

  Args:
    views: large views L.
    rows: slots N.
    dim: size of an embedding D.
    dtype: type of the embeddings.

  Example:
    >>> empty(2, 8, 4, jnp.float32).embedding.shape
    (2, 8, 4)
  """
  return Queue(
    embedding=jnp.zeros((views, rows, dim), dtype),
    label=jnp.full((rows,), EMPTY, jnp.int32),
    index=jnp.full((rows,), EMPTY, jnp.int32),
    head=jnp.zeros((), jnp.int32),
    size=jnp.zeros((), jnp.int32),
  )


def sharding(mesh: Mesh) -> Queue:
  """Returns the shardings of a queue: embeddings along N, the rest whole."""
  whole = NamedSharding(mesh, P())
  split = NamedSharding(mesh, P(None, *mesh.axis_names, None))
  return Queue._make([split, whole, whole, whole, whole])


def age(queue: Queue) -> Int32[Array, 'N']:
  """Returns the rows pushed since each slot was written [N]; 0 is the newest.

  Example:
    >>> queue = empty(1, 3, 1, jnp.float32)._replace(head=jnp.int32(1))
    >>> age(queue).tolist()
    [0, 2, 1]
  """
  rows = queue.label.shape[0]
  return jnp.mod(queue.head - 1 - jnp.arange(rows, dtype=jnp.int32), rows)


def push(
  queue: Queue,
  embedding: Float[Array, 'B L D'],
  label: Int32[Array, 'B'],
  index: Int32[Array, 'B'],
  mesh: Mesh,
) -> Queue:
  """Appends the labelled rows in batch order; the oldest rows leave.

  Args:
    queue: the queue before this step.
    embedding: unit embeddings of the whole batch [B, L, D].
    label: class of each row [B]; rows below 0 stay out.
    index: identity of each row's image [B].
    mesh: the devices that hold the queue.

  Returns:
    The queue after this step.

  Example:
    >>> mesh = Mesh(jax.devices()[:1], ('data',))
    >>> label, index = jnp.array([5, -1, 6]), jnp.array([10, 11, 12])
    >>> queue = empty(1, 4, 1, jnp.float32)
    >>> append = jax.jit(push, static_argnames='mesh')
    >>> x = jnp.ones((3, 1, 1))
    >>> append(queue, x, label, index, mesh=mesh).index.tolist()
    [10, 12, -1, -1]
  """
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


def _write(kept, incoming, source, written, mesh: Mesh) -> Array:
  """Fills, on each device, the slots that it owns from the whole batch."""
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


def take(
  queue: Queue, slot: Int32[Array, 'B L P'], mesh: Mesh
) -> Float[Array, 'B L P D']:
  """Reads chosen rows of every view from the devices that hold them.

  Args:
    queue: the queue.
    slot: slots to read [B, L, P] in [0, N): view l's queue is read at
      `slot[:, l]`. B must be a multiple of the device count.
    mesh: the devices that hold the queue.

  Returns:
    Embeddings [B, L, P, D], split along B.

  Example:
    >>> mesh = Mesh(jax.devices()[:1], ('data',))
    >>> rows = jnp.array([[[7.0], [8.0], [9.0]]])
    >>> queue = empty(1, 3, 1, jnp.float32)._replace(embedding=rows)
    >>> read = jax.jit(take, static_argnames='mesh')
    >>> read(queue, jnp.array([[[2, 0]]]), mesh=mesh).ravel().tolist()
    [9.0, 7.0]
  """
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
    is_local = (local >= 0) & (local < rows)
    view = jnp.arange(embedding.shape[0], dtype=jnp.int32)[None, :, None]
    row = embedding[view, jnp.clip(local, 0, rows - 1)]
    row = jnp.where(is_local[..., None], row, jnp.zeros((), row.dtype))
    # One device adds the row and all others zero, which is exact.
    return jax.lax.psum_scatter(row, axis, scatter_dimension=0, tiled=True)

  return read(queue.embedding, slot)
