"""Reduces the scores of queries against a support set that stays on the host.

At ImageNet's size, 50,000 queries against 1.28 million features of dimension
2048, the scores are 256 GB and the support is 10 GB, so that neither may be
whole on a device. The queries are split over the devices once; the support
goes through them in chunks, and each chunk's scores are folded, a block of
queries at a time, into a small state per query. The search that trains
(`semppl_jax.methods.knn`) splits its bank instead, which has to fit.
"""

from collections.abc import Iterator
import functools
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec as P
import numpy as np

from semppl_jax.runtime import mesh as mesh_lib

_NO_LABEL = -1


class Reduction(Protocol):
  """What becomes of the scores; two that are equal share a compiled program.

  The state is a tree of arrays [m, ...], a row for each of m queries.
  """

  def init(self, queries: int) -> Any:
    """Returns the state of `queries` queries that have met no support."""
    ...

  def fold(self, state: Any, score: jax.Array, label: jax.Array) -> Any:
    """Returns the state after a chunk of the support.

    Args:
      state: what was returned for the chunks before, which come first.
      score: cosine similarities [m, n], float32; -inf where there is no image.
      label: classes [n], int32; -1 where there is no image.
    """
    ...

  def __hash__(self) -> int: ...


class Limits(NamedTuple):
  """Sizes on one device, at most; a part has one row at least.

  Attributes:
    chunk_bytes: features of a chunk of the support.
    chunk_rows: rows of a chunk, which bounds what short features let in.
    score_bytes: scores of a block of queries against a chunk.
  """

  chunk_bytes: int = 128 * 2**20
  chunk_rows: int = 2**14
  score_bytes: int = 64 * 2**20


class Layout(NamedTuple):
  """How queries and support are cut.

  Attributes:
    blocks: blocks of queries, a multiple of the device count.
    block: queries in a block.
    rows: support rows in a chunk, a multiple of the device count.
  """

  blocks: int
  block: int
  rows: int


def layout(
  queries: int, support: int, dimension: int, devices: int, limits: Limits
) -> Layout:
  """Cuts M queries and N rows of the support, both of dimension D."""
  most = min(limits.chunk_rows, limits.chunk_bytes // (4 * dimension))
  rows = devices * -(-min(support, max(most, 1)) // devices)
  share = -(-queries // devices)
  # Blocks of one size, and not full ones with a rest: less is padding.
  blocks = -(-share // max(1, limits.score_bytes // (4 * rows)))
  return Layout(blocks * devices, -(-share // blocks), rows)


def reduce(
  query: np.ndarray,
  support: np.ndarray,
  support_label: np.ndarray,
  reduction: Reduction,
  mesh: Mesh,
  limits: Limits | None = None,
) -> Any:
  """Folds the cosine similarities of every query with every labelled image.

  Args:
    query: features [M, D]; need not be normalised.
    support: features [N, D]; the same on every process.
    support_label: classes [N], int32; images below 0 are passed over.
    reduction: what to keep of a query's scores.
    mesh: the devices.
    limits: sizes of the parts; they change nothing but memory and time.

  Returns:
    The state of all queries, arrays [M, ...] on the host of every process.

  Raises:
    ValueError: shapes that do not fit, no query, no labelled image, or a
      feature that is not finite.
  """
  _check(query, support, support_label)
  labelled = np.flatnonzero(support_label >= 0)
  plan = layout(
    len(query), len(labelled), query.shape[1], mesh.size, limits or Limits()
  )
  padded = _padded(_unit(query, 'queries'), plan.blocks * plan.block)
  blocks = mesh_lib.shard_array(mesh, padded.reshape(plan.blocks, plan.block, -1), 0)
  state = empty(reduction, plan, mesh)
  for chunk, label in _chunks(
    support, support_label, labelled, plan.rows, mesh
  ):
    # The next chunk is under way by now, and no third one may be.
    jax.block_until_ready(state)
    state = fold(state, blocks, chunk, label, reduction, mesh)
  whole = jax.jit(lambda x: x, out_shardings=mesh_lib.replicated(mesh))
  found = jax.device_get(whole(state))
  return jax.tree.map(
    lambda x: x.reshape(-1, *x.shape[2:])[: len(query)], found
  )


def empty(reduction: Reduction, plan: Layout, mesh: Mesh) -> Any:
  """The state [blocks, block, ...] of queries that have met no support."""

  def build():
    return jax.tree.map(
      lambda x: jnp.broadcast_to(x, (plan.blocks, *x.shape)),
      reduction.init(plan.block),
    )

  return jax.jit(build, out_shardings=mesh_lib.sharded(mesh))()


@functools.partial(
  jax.jit, static_argnames=('reduction', 'mesh'), donate_argnames='state'
)
def fold(
  state: Any,
  query: jax.Array,
  chunk: jax.Array,
  label: jax.Array,
  reduction: Reduction,
  mesh: Mesh,
) -> Any:
  """Folds a chunk of the support into the state of all queries.

  Args:
    state: from `empty` or `fold`, split along the blocks; given up.
    query: unit embeddings [blocks, block, D], split along the blocks.
    chunk: unit embeddings [rows, D], split along the rows: a host sends each
      device its part alone, and the devices pass the parts on.
    label: classes [rows], split likewise; -1 is padding.
    reduction: what to keep.
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
) -> Iterator[tuple[jax.Array, jax.Array]]:
  """Sends the labelled rows, in order, in parts of one shape."""
  for start in range(0, len(labelled), rows):
    part = labelled[start : start + rows]
    chunk = _padded(_unit(support[part], 'the support'), rows)
    label = _padded(support_label[part].astype(np.int32), rows, _NO_LABEL)
    yield mesh_lib.shard_array(mesh, chunk, 0), mesh_lib.shard_array(mesh, label, 0)


def _check(query, support, label) -> None:
  if query.ndim != 2 or support.ndim != 2 or query.shape[1] != support.shape[1]:
    raise ValueError(
      'Queries and support must be [M, D] and [N, D] of the same D, got'
      f' {query.shape} and {support.shape}.'
    )
  if label.shape != support.shape[:1]:
    raise ValueError(
      f'The support of {len(support)} images needs one label each, got labels'
      f' of shape {label.shape}.'
    )
  if not len(query):
    raise ValueError('There is no query to classify.')
  if not (label >= 0).any():
    raise ValueError(
      f'None of the {len(label)} images of the support has a label.'
    )


def _unit(x: np.ndarray, name: str) -> np.ndarray:
  """Rows of length 1, float32; those of length 0 stay as they are."""
  x = x.astype(np.float32)
  length = np.linalg.norm(x, axis=1, keepdims=True)
  if not np.isfinite(length).all():
    raise ValueError(f'Features of {name} must be finite, got NaN or infinity.')
  return x / np.maximum(length, 1e-12)


def _padded(x: np.ndarray, rows: int, value: float = 0) -> np.ndarray:
  missing = np.full((rows - len(x), *x.shape[1:]), value, x.dtype)
  return np.concatenate([x, missing])
