"""Soft nearest neighbors: every labelled image votes by its similarity.

PAWS-NN of Assran et al., "Semi-supervised learning of visual features by
non-parametrically predicting view assignments with support samples", arXiv
2104.13963: softmax(q sᵀ / τ) y over l2-normalized embeddings, the classifier
that PAWS trains with.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, Float32, Int, Int32
import numpy as np

from semppl_jax.evaluators import chunked_similarity
from semppl_jax.evaluators.linear_model import check_classes


class Votes(NamedTuple):
  """Votes relative to the largest similarity so far.

  Attributes:
    largest: similarity [M], float32; -inf before the first chunk.
    votes: sums of exp((similarity - largest) / τ) by class [M, C], float32.
  """

  largest: Float32[Array, 'M']
  votes: Float32[Array, 'M C']


@dataclasses.dataclass(frozen=True)
class Soft:
  """Reduction to sums of exponentials by class, safe from overflow.

  Attributes:
    classes: C.
    temperature: τ, > 0.
  """

  classes: int
  temperature: float

  def init(self, queries: int) -> Votes:
    """Returns zero votes for every class."""
    return Votes(
      jnp.full(queries, -jnp.inf, jnp.float32),
      jnp.zeros((queries, self.classes), jnp.float32),
    )

  def fold(
    self, state: Votes, score: Float32[Array, 'm n'], label: Int32[Array, 'n']
  ) -> Votes:
    """Returns the votes with those of a chunk [m, n] added."""
    largest = jnp.maximum(state.largest, jnp.max(score, axis=1))
    # The difference before the quotient: a small temperature makes quotients
    # large, and their difference would lose digits.
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
  query: Float[np.ndarray, 'M D'],
  support: Float[np.ndarray, 'N D'],
  support_label: Int[np.ndarray, 'N'],
  classes: int,
  temperature: float,
  mesh: Mesh,
) -> Float32[np.ndarray, 'M C']:
  """Returns the probability of every class for every query.

  Args:
    query: embeddings [M, D]; need not be normalized.
    support: embeddings [N, D].
    support_label: classes [N], int32; images below 0 do not vote.
    classes: C, more than any label.
    temperature: τ, > 0; the paper's is 0.1.
    mesh: the devices.

  Returns:
    Probabilities [M, C], float32; a class without an image has 0.

  Raises:
    ValueError: a number outside its range, or embeddings that are not finite.
  """
  if not temperature > 0:
    raise ValueError(
      f'The temperature of soft nearest neighbors must be > 0, got'
      f' {temperature}.'
    )
  check_classes(support_label, classes)
  reduction = Soft(classes, float(temperature))
  votes = chunked_similarity.reduce(
    query, support, support_label, reduction, mesh
  ).votes
  return votes / votes.sum(axis=1, keepdims=True)
