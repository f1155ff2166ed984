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
import numpy as np

from semppl_jax.evaluators import chunked_similarity
from semppl_jax.evaluators.linear_model import check_classes

# Queries whose votes are counted at once: the count is in float64.
_COUNTED = 4096


class Neighbours(NamedTuple):
  """The K nearest images of each query, nearest first.

  Attributes:
    similarity: cosines [M, K], float32; -inf where there is none yet.
    label: classes [M, K], int32; -1 where there is none yet.
  """

  similarity: jax.Array
  label: jax.Array


@dataclasses.dataclass(frozen=True)
class Nearest:
  """Keeps the K nearest; of equal similarities the earlier image is nearer.

  Attributes:
    k: neighbours, >= 1.
  """

  k: int

  def init(self, queries: int) -> Neighbours:
    """Returns K empty places for each query."""
    shape = (queries, self.k)
    return Neighbours(
      jnp.full(shape, -jnp.inf, jnp.float32), jnp.full(shape, -1, jnp.int32)
    )

  def fold(
    self, state: Neighbours, score: jax.Array, label: jax.Array
  ) -> Neighbours:
    """Returns the K nearest of those before and of a chunk's [m, n]."""
    best, position = jax.lax.top_k(score, min(self.k, score.shape[1]))
    # Those before come first: top_k breaks ties towards the lower position.
    similarity = jnp.concatenate([state.similarity, best], axis=1)
    labels = jnp.concatenate([state.label, label[position]], axis=1)
    similarity, position = jax.lax.top_k(similarity, self.k)
    return Neighbours(similarity, jnp.take_along_axis(labels, position, axis=1))


def scores(
  query: np.ndarray,
  support: np.ndarray,
  support_label: np.ndarray,
  classes: int,
  k: Sequence[int],
  temperature: float,
  mesh: Mesh,
) -> dict[int, np.ndarray]:
  """Weighted votes of every class for every query and every k.

  Args:
    query: features [M, D]; need not be normalised.
    support: features [N, D].
    support_label: classes [N], int32; images below 0 do not vote.
    classes: C, more than any label.
    k: numbers of neighbours, >= 1; those over the voters count as all voters.
    temperature: of the weights, > 0.
    mesh: the devices.

  Returns:
    Votes [M, C], float32, for each k, where the nearest image's weighs 1; a
    class that nobody votes for has 0.

  Raises:
    ValueError: a number out of its range, or features that do not fit.
  """
  votes = _votes(query, support, support_label, classes, k, temperature, mesh)
  return dict(votes)


def predict(
  query: np.ndarray,
  support: np.ndarray,
  support_label: np.ndarray,
  k: Sequence[int],
  temperature: float,
  mesh: Mesh,
) -> dict[int, np.ndarray]:
  """Classifies every query for every k; of equal votes the lower class wins.

  Args:
    query: features [M, D]; need not be normalised.
    support: features [N, D].
    support_label: classes [N], int32; images below 0 do not vote.
    k: numbers of neighbours, >= 1; those over the voters count as all voters.
    temperature: of the weights, > 0.
    mesh: the devices.

  Returns:
    Predicted classes [M] for each k.

  Raises:
    ValueError: a number out of its range, or features that do not fit.
  """
  classes = int(support_label.max(initial=0)) + 1
  votes = _votes(query, support, support_label, classes, k, temperature, mesh)
  return {n: vote.argmax(axis=1) for n, vote in votes}


def top1(
  query: np.ndarray,
  query_label: np.ndarray,
  support: np.ndarray,
  support_label: np.ndarray,
  k: Sequence[int],
  temperature: float,
  mesh: Mesh,
) -> dict[int, float]:
  """Share of queries with a known class that each k classifies right.

  Images without a known class neither vote nor count; where none is left
  there is no share to give.
  """
  asked = query_label >= 0
  if not (support_label >= 0).any() or not asked.any():
    return {}
  predicted = predict(
    query[asked], support, support_label, k, temperature, mesh
  )
  truth = query_label[asked]
  return {n: float(np.mean(p == truth)) for n, p in predicted.items()}


def _votes(
  query, support, label, classes: int, k, temperature: float, mesh: Mesh
) -> Iterator[tuple[int, np.ndarray]]:
  """Yields the votes [M, C] of one k after the other."""
  _check(label, classes, k, temperature)
  most = min(max(k), max(1, int((label >= 0).sum())))
  near = chunked_similarity.reduce(query, support, label, Nearest(most), mesh)
  similarity = near.similarity.astype(np.float64)
  # Against the nearest, so that no weight overflows.
  weight = np.exp((similarity - similarity[:, :1]) / temperature)
  for n in k:
    yield n, _count(near.label[:, :n], weight[:, :n], classes)


def _count(label: np.ndarray, weight: np.ndarray, classes: int) -> np.ndarray:
  """Sums the weights [M, K] by class to [M, C], float32."""
  votes = np.empty((len(label), classes), np.float32)
  for start in range(0, len(label), _COUNTED):
    part = slice(start, start + _COUNTED)
    row = np.arange(len(label[part]))[:, None]
    cell = (row * classes + label[part]).ravel()
    count = np.bincount(cell, weight[part].ravel(), row.size * classes)
    votes[part] = count.reshape(row.size, classes)
  return votes


def _check(label, classes: int, k: Sequence[int], temperature: float) -> None:
  if not k or min(k) < 1:
    raise ValueError(f'k must be one or more numbers >= 1, got {tuple(k)}.')
  if not temperature > 0:
    raise ValueError(
      f'The temperature of the votes must be > 0, got {temperature}.'
    )
  check_classes(label, classes)
