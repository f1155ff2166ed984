"""k-NN classification of frozen features, with a weighted vote.

Wu et al., "Unsupervised feature learning via non-parametric instance
discrimination", arXiv 1805.01978, section 3.4: cosine similarity, and votes
of weight exp(similarity / temperature).
"""

from collections.abc import Iterator, Sequence
import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, Float32, Int, Int32
import numpy as np

from semppl_jax.evaluators import chunked_similarity
from semppl_jax.evaluators.linear_model import check_classes

# Queries whose votes are counted at once: the count is in float64.
_COUNT_ROWS = 4096


class Neighbors(NamedTuple):
  """The K nearest images of each query, nearest first.

  Attributes:
    similarity: cosines [M, K], float32; -inf for an empty place.
    label: classes [M, K], int32; -1 for an empty place.
  """

  similarity: Float32[Array, 'M K']
  label: Int32[Array, 'M K']


@dataclasses.dataclass(frozen=True)
class Nearest:
  """Reduction to the K nearest; of equal similarities the earlier image wins.

  Attributes:
    k: neighbors, >= 1.
  """

  k: int

  def init(self, queries: int) -> Neighbors:
    """Returns K empty places for each query."""
    shape = (queries, self.k)
    return Neighbors(
      jnp.full(shape, -jnp.inf, jnp.float32), jnp.full(shape, -1, jnp.int32)
    )

  def fold(
    self,
    state: Neighbors,
    score: Float32[Array, 'm n'],
    label: Int32[Array, 'n'],
  ) -> Neighbors:
    """Returns the K nearest of the state and of a chunk [m, n]."""
    best, position = jax.lax.top_k(score, min(self.k, score.shape[1]))
    # The state comes first: top_k breaks ties towards the lower position.
    similarity = jnp.concatenate([state.similarity, best], axis=1)
    labels = jnp.concatenate([state.label, label[position]], axis=1)
    similarity, position = jax.lax.top_k(similarity, self.k)
    return Neighbors(similarity, jnp.take_along_axis(labels, position, axis=1))


def scores(
  query: Float[np.ndarray, 'M D'],
  support: Float[np.ndarray, 'N D'],
  support_label: Int[np.ndarray, 'N'],
  classes: int,
  k: Sequence[int],
  temperature: float,
  mesh: Mesh,
) -> dict[int, Float32[np.ndarray, 'M C']]:
  """Returns the weighted votes for every class, query and k.

  Args:
    query: features [M, D]; need not be normalized.
    support: features [N, D].
    support_label: classes [N], int32; images below 0 do not vote.
    classes: C, more than any label.
    k: numbers of neighbors, >= 1, limited to the number of labelled images.
    temperature: of the weights, > 0.
    mesh: the devices.

  Returns:
    Votes [M, C], float32, for each k; the vote of the nearest image is 1.

  Raises:
    ValueError: a number outside its range, or features that are not finite.
  """
  votes = _votes(query, support, support_label, classes, k, temperature, mesh)
  return dict(votes)


def top1(
  query: Float[np.ndarray, 'M D'],
  query_label: Int[np.ndarray, 'M'],
  support: Float[np.ndarray, 'N D'],
  support_label: Int[np.ndarray, 'N'],
  k: Sequence[int],
  temperature: float,
  mesh: Mesh,
) -> dict[int, float]:
  """Returns the top-1 accuracy of the labelled queries for each k.

  Of classes with equal votes the lower one is predicted. Empty without a
  labelled query or a labelled support image. Arguments are as in `scores`.
  """
  known = query_label >= 0
  if not (support_label >= 0).any() or not known.any():
    return {}
  classes = int(support_label.max()) + 1
  votes = _votes(
    query[known], support, support_label, classes, k, temperature, mesh
  )
  label = query_label[known]
  return {n: float(np.mean(v.argmax(axis=1) == label)) for n, v in votes}


def _votes(
  query, support, label, classes: int, k, temperature: float, mesh: Mesh
) -> Iterator[tuple[int, np.ndarray]]:
  """Yields the votes [M, C] of one k after the other."""
  if not k or min(k) < 1:
    raise ValueError(f'k must be one or more numbers >= 1, got {tuple(k)}.')
  if not temperature > 0:
    raise ValueError(
      f'The temperature of the votes must be > 0, got {temperature}.'
    )
  check_classes(label, classes)
  most = min(max(k), max(1, int((label >= 0).sum())))
  near = chunked_similarity.reduce(query, support, label, Nearest(most), mesh)
  similarity = near.similarity.astype(np.float64)
  # Relative to the nearest, so that no weight overflows.
  weight = np.exp((similarity - similarity[:, :1]) / temperature)
  for n in k:
    yield n, _count(near.label[:, :n], weight[:, :n], classes)


def _count(label: np.ndarray, weight: np.ndarray, classes: int) -> np.ndarray:
  """Sums the weights [M, K] by class to [M, C], float32."""
  votes = np.empty((len(label), classes), np.float32)
  for start in range(0, len(label), _COUNT_ROWS):
    part = slice(start, start + _COUNT_ROWS)
    row = np.arange(len(label[part]))[:, None]
    cell = (row * classes + label[part]).ravel()
    count = np.bincount(cell, weight[part].ravel(), row.size * classes)
    votes[part] = count.reshape(row.size, classes)
  return votes
