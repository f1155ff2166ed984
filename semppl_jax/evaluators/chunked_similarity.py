"""Chunked similarities of queries to a support set that stays on the host.

At ImageNet's size, 50,000 queries against 1.28 million features of dimension
2048, the scores take 256 GB and the support 10 GB, too much for a device. The
queries are split over the devices once. The support passes through them in
chunks, and each chunk's scores are folded, a block of queries at a time, into a
small state per query. The search during training (`semppl_jax.methods.knn`)
splits its bank over the devices instead, which must fit.
"""

from collections.abc import Iterator
import functools
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec as P
from jaxtyping import Array, Float, Float32, Int, Int32, PyTree
import numpy as np

from semppl_jax.runtime import mesh as mesh_lib

_NO_LABEL = -1


@runtime_checkable
class Reduction(Protocol):
  """Fold over the scores; equal reductions share one compiled program.

  The state is a tree of arrays [m, ...], a row for each of m queries.
  """

  def init(self, queries: int) -> PyTree:
    """Returns the initial state of `queries` queries."""
    ...

  def fold(
    self, state: PyTree, score: Float32[Array, 'm n'], label: Int32[Array, 'n']
  ) -> PyTree:
    """Returns the state after a chunk of the support.

    Args:
      state: the state after the chunks before.
      score: cosine similarities [m, n], float32; -inf where there is no image.
      label: classes [n], int32; -1 where there is no image.
    """
    ...

  def __hash__(self) -> int: ...


class Limits(NamedTuple):
  """Maximum sizes on one device; a part has at least one row.

  Attributes:
    chunk_bytes: size of the features of a support chunk.
    chunk_rows: rows of a support chunk.
    score_bytes: size of the scores of a block of queries against a chunk.
  """

  chunk_bytes: int = 128 * 2**20
  chunk_rows: int = 2**14
  score_bytes: int = 64 * 2**20


class Layout(NamedTuple):
  """Sizes of query blocks and support chunks.

  Attributes:
    blocks: number of blocks of queries, a multiple of the device count.
    block: queries in a block.
    rows: support rows in a chunk, a multiple of the device count.
  """

  blocks: int
  block: int
  rows: int


def layout(
  queries: int, support: int, dimension: int, devices: int, limits: Limits
) -> Layout:
  """Returns the sizes for M queries and N support rows of dimension D."""
  most = min(limits.chunk_rows, limits.chunk_bytes // (4 * dimension))
  rows = devices * -(-min(support, max(most, 1)) // devices)
  share = -(-queries // devices)
  # Blocks of equal size need less padding than full ones and a remainder.
  blocks = -(-share // max(1, limits.score_bytes // (4 * rows)))
  return Layout(blocks * devices, -(-share // blocks), rows)


def reduce(
  query: Float[np.ndarray, 'M D'],
  support: Float[np.ndarray, 'N D'],
  support_label: Int[np.ndarray, 'N'],
  reduction: Reduction,
  mesh: Mesh,
  limits: Limits | None = None,
) -> PyTree:
  """Folds the cosine similarities of every query to every labelled image.

  Args:
    query: features [M, D]; need not be normalized.
    support: features [N, D]; the same on every process.
    support_label: classes [N], int32; images below 0 are skipped.
    reduction: the fold.
    mesh: the devices.
    limits: sizes of the parts; they change only memory and time.

  Returns:
    The state of all queries, arrays [M, ...] on the host of every process.

  Raises:
    ValueError: no query, no labelled image, or a feature that is not finite.
  """
  if not len(query):
    raise ValueError('There is no query to classify.')
  if not (support_label >= 0).any():
    raise ValueError(
      f'None of the {len(support_label)} images of the support has a label.'
    )
  labelled = np.flatnonzero(support_label >= 0)
  sizes = layout(
    len(query), len(labelled), query.shape[1], mesh.size, limits or Limits()
  )
  padded = _padded(_unit(query, 'queries'), sizes.blocks * sizes.block)
  blocks = padded.reshape(sizes.blocks, sizes.block, -1)
  blocks = mesh_lib.shard_array(mesh, blocks, 0)
  state = empty(reduction, sizes, mesh)
  for chunk, label in _chunks(
    support, support_label, labelled, sizes.rows, mesh
  ):
    # At most two chunks are on the devices: this one and the next.
    jax.block_until_ready(state)
    state = fold(state, blocks, chunk, label, reduction, mesh)
  replicate = jax.jit(lambda x: x, out_shardings=mesh_lib.replicated(mesh))
  return jax.tree.map(
    lambda x: x.reshape(-1, *x.shape[2:])[: len(query)],
    jax.device_get(replicate(state)),
  )


def empty(reduction: Reduction, sizes: Layout, mesh: Mesh) -> PyTree:
  """Returns the initial state [blocks, block, ...] of all queries."""

  def build():
    return jax.tree.map(
      lambda x: jnp.broadcast_to(x, (sizes.blocks, *x.shape)),
      reduction.init(sizes.block),
    )

  return jax.jit(build, out_shardings=mesh_lib.sharded(mesh))()


@functools.partial(
  jax.jit, static_argnames=('reduction', 'mesh'), donate_argnames='state'
)
def fold(
  state: PyTree,
  query: Float32[Array, 'blocks block D'],
  chunk: Float32[Array, 'rows D'],
  label: Int32[Array, 'rows'],
  reduction: Reduction,
  mesh: Mesh,
) -> PyTree:
  """Folds a chunk of the support into the state of all queries.

  Args:
    state: from `empty` or `fold`, split along the blocks; donated.
    query: unit embeddings [blocks, block, D], split along the blocks.
    chunk: unit embeddings [rows, D], split along the rows: a host sends each
      device one part only, and the devices gather the parts.
    label: classes [rows], split likewise; -1 is padding.
    reduction: the fold.
    mesh: the devices.
  """
  axis = mesh.axis_names[0]

  def local(state, query, chunk, label):
    chunk = jax.lax.all_gather(chunk, axis, tiled=True)
    label = jax.lax.all_gather(label, axis, tiled=True)

    def fold_block(block):
      state, query = block
      score = jnp.einsum(
        'md,nd->mn', query, chunk, precision=jax.lax.Precision.HIGHEST
      )
      score = jnp.where((label < 0)[None, :], -jnp.inf, score)
      return reduction.fold(state, score, label)

    return jax.lax.map(fold_block, (state, query))

  split = jax.shard_map(local, mesh=mesh, in_specs=P(axis), out_specs=P(axis))
  return split(state, query, chunk, label)


def _chunks(
  support, support_label, labelled, rows: int, mesh: Mesh
) -> Iterator[tuple[Array, Array]]:
  """Yields the labelled rows, in order, in chunks of one shape."""
  for start in range(0, len(labelled), rows):
    part = labelled[start : start + rows]
    chunk = _padded(_unit(support[part], 'the support'), rows)
    label = _padded(support_label[part].astype(np.int32), rows, _NO_LABEL)
    yield (
      mesh_lib.shard_array(mesh, chunk, 0),
      mesh_lib.shard_array(mesh, label, 0),
    )


def _unit(x: np.ndarray, name: str) -> np.ndarray:
  """Scales rows to length 1, in float32; zero rows stay zero."""
  x = x.astype(np.float32)
  length = np.linalg.norm(x, axis=1, keepdims=True)
  if not np.isfinite(length).all():
    raise ValueError(f'Features of {name} must be finite, got NaN or infinity.')
  return x / np.maximum(length, 1e-12)


def _padded(x: np.ndarray, rows: int, value: int = 0) -> np.ndarray:
  missing = np.full((rows - len(x), *x.shape[1:]), value, x.dtype)
  return np.concatenate([x, missing])
