"""Least-squares classifier in closed form, for any number of regularizers.

It minimizes Σ |x W + b - y|² + λ |W|², where x are standardized features, y is
1 for the class and -1 elsewhere, and b is not regularized. One
eigendecomposition serves every λ, of features or of images, whichever are
fewer. The approach is that of big_vision's `evaluators/fewshot_lsr.py`, whose
bias is a large constant feature with little regularization.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from jaxtyping import Float, Int
import numpy as np

from semppl_jax.evaluators import linear_model as linear_model_lib
from semppl_jax.evaluators.linear_model import Classifier, Standard


class _Solved(NamedTuple):
  """Solution for every λ: W = left (values + λ)⁻¹ right.

  Attributes:
    left: [F, E].
    values: eigenvalues [E], >= 0.
    right: [E, P].
  """

  left: np.ndarray
  values: np.ndarray
  right: np.ndarray


def path(
  features: Float[np.ndarray, 'n F'],
  label: Int[np.ndarray, 'n'],
  regularizers: Sequence[float],
  *,
  classes: int,
) -> Iterator[tuple[float, Classifier]]:
  """Yields each regularizer with its classifier.

  Args:
    features: [n, F].
    label: classes [n], int32; images below 0 are left out.
    regularizers: λ, each > 0.
    classes: C; a class without an image has the logit `ABSENT`.

  Raises:
    ValueError: a number outside its range, or fewer than two classes.
  """
  linear_model_lib.check_regularizers(regularizers)
  features, label = linear_model_lib.labelled(features, label, classes)
  standard = linear_model_lib.standard(features)
  present, position = np.unique(label, return_inverse=True)
  bias = 2 * np.bincount(position) / len(position) - 1
  solve = _primal if len(features) >= features.shape[1] else _dual
  solved = solve(features, position, standard, len(present))
  for regularizer in regularizers:
    scale = 1 / (solved.values + regularizer)
    weight = solved.left @ (scale[:, None] * solved.right)
    yield regularizer, standard.classifier(weight, bias, present, classes)


def _primal(
  features: np.ndarray, position: np.ndarray, standard: Standard, classes: int
) -> _Solved:
  """Solves by the covariance of features [F, F], a block of rows at a time."""
  size = features.shape[1]
  square, cross = np.zeros((size, size)), np.zeros((size, classes))
  for part in linear_model_lib.blocks(len(features)):
    x = standard.apply(features[part])
    square += x.T @ x
    cross += x.T @ _targets(position[part], classes)
  values, vectors = np.linalg.eigh(square)
  return _Solved(vectors, np.maximum(values, 0), vectors.T @ cross)


def _dual(
  features: np.ndarray, position: np.ndarray, standard: Standard, classes: int
) -> _Solved:
  """Solves by the products of images [n, n]."""
  x = standard.apply(features)
  values, vectors = np.linalg.eigh(x @ x.T)
  right = vectors.T @ _targets(position, classes)
  return _Solved(x.T @ vectors, np.maximum(values, 0), right)


def _targets(position: np.ndarray, classes: int) -> np.ndarray:
  """Returns 1 for the class and -1 elsewhere [n, P].

  Their mean need not be subtracted: standardized features sum to 0.
  """
  return 2.0 * (position[:, None] == np.arange(classes)[None, :]) - 1.0
