"""Soft nearest neighbours: every labelled image votes by its similarity.

PAWS-NN of Assran et al., "Semi-supervised learning of visual features by
non-parametrically predicting view assignments with support samples", arXiv
2104.13963: softmax(q sᵀ / τ) y over l2-normalised embeddings, the classifier
that PAWS trains with.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
import numpy as np

from semppl_jax.evaluators import chunked_similarity
from semppl_jax.evaluators.linear_model import check_classes


class Votes(NamedTuple):
  """Votes that are relative to the largest similarity so far.

  Attributes:
    largest: similarity [M], float32; -inf where nothing was met.
    votes: sums of exp((similarity - largest) / τ) by class [M, C], float32.
  """

  largest: jax.Array
  votes: jax.Array


@dataclasses.dataclass(frozen=True)
class Soft:
  """Sums the exponentials by class without ever letting one overflow.

  Attributes:
    classes: C.
    temperature: τ, > 0.
  """

  classes: int
  temperature: float

  def init(self, queries: int) -> Votes:
    """Returns no votes for any class."""
    return Votes(
      jnp.full(queries, -jnp.inf, jnp.float32),
      jnp.zeros((queries, self.classes), jnp.float32),
    )

  def fold(self, state: Votes, score: jax.Array, label: jax.Array) -> Votes:
    """Returns the votes with those of a chunk [m, n] added."""
    largest = jnp.maximum(state.largest, jnp.max(score, axis=1))
    # The difference comes first: the quotients of a small temperature are
    # large, and theirs would have lost digits.
    shrink = jnp.exp((state.largest - largest) / self.temperature)
    weight = jnp.exp((score - largest[:, None]) / self.temperature)
    added = jnp.einsum(
      'mn,nc->mc',
      weight,
      jax.nn.one_hot(label, self.classes, dtype=jnp.float32),
      precision=jax.lax.Precision.HIGHEST,
    )
    return Votes(largest, state.votes * shrink[:, None] + added)


def scores(
  query: np.ndarray,
  support: np.ndarray,
  support_label: np.ndarray,
  classes: int,
  temperature: float,
  mesh: Mesh,
) -> np.ndarray:
  """Probability of every class for every query.

  Args:
    query: embeddings [M, D]; need not be normalised.
    support: embeddings [N, D].
    support_label: classes [N], int32; images below 0 do not vote.
    classes: C, more than any label.
    temperature: τ, > 0; the paper's is 0.1.
    mesh: the devices.

  Returns:
    Probabilities [M, C], float32; a class without an image has 0.

  Raises:
    ValueError: a number out of its range, or embeddings that do not fit.
  """
  if not temperature > 0:
    raise ValueError(
      f'The temperature of soft nearest neighbours must be > 0, got'
      f' {temperature}.'
    )
  check_classes(support_label, classes)
  reduction = Soft(classes, float(temperature))
  found = chunked_similarity.reduce(
    query, support, support_label, reduction, mesh
  )
  return found.votes / found.votes.sum(axis=1, keepdims=True)
