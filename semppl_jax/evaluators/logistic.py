"""Logistic regression by L-BFGS, for features that fit in memory.

It minimizes Σ cross-entropy(x W + b, y) + λ/2 |W|², where x are standardized
features and b is not regularized. Kornblith et al., "Do better ImageNet models
transfer better?", arXiv 1805.08974, choose λ from 45 values between 1e-6 and
1e5, logarithmically spaced; scikit-learn's C is 1/λ. The returned classifier
takes features that are not standardized.
"""

from collections.abc import Iterable, Iterator, Sequence
import logging
from typing import NamedTuple
import warnings

from jaxtyping import Float, Int
import numpy as np

from semppl_jax.evaluators import linear_model as linear_model_lib
from semppl_jax.evaluators.linear_model import ABSENT, Classifier, Standard

_log = logging.getLogger(__name__)

_ITERATIONS = 1000
# Bound on the largest entry of the mean loss's gradient.
_TOLERANCE = 1e-5


class _Fitted(NamedTuple):
  """Solution for one regularizer.

  Attributes:
    regularizer: λ.
    weight: of the standardized features [F, P].
    bias: [P].
    converged: False if scikit-learn warned of it.
  """

  regularizer: float
  weight: np.ndarray
  bias: np.ndarray
  converged: bool


def path(
  features: Float[np.ndarray, 'n F'],
  label: Int[np.ndarray, 'n'],
  regularizers: Sequence[float],
  *,
  classes: int,
  standard: Standard | None = None,
) -> Iterator[tuple[float, Classifier]]:
  """Yields each regularizer, strongest first, with its classifier.

  Args:
    features: [n, F].
    label: classes [n], int32; images below 0 are left out.
    regularizers: λ, each > 0.
    classes: C; a class without an image has the logit `ABSENT`.
    standard: standardization; by default that of the labelled images.

  Raises:
    ValueError: a number outside its range, or fewer than two classes.
  """
  linear_model_lib.check_regularizers(regularizers)
  features, label = linear_model_lib.labelled(features, label, classes)
  standard = standard or linear_model_lib.standard(features)
  present, position = np.unique(label, return_inverse=True)
  x = standard.apply(features)
  if len(present) > 2:
    solutions = _fits(x, position, regularizers)
  else:
    # For two classes scikit-learn fits the difference of their weights, which
    # are plus and minus half of it, with half of its sum of squares.
    solutions = (
      one._replace(
        weight=np.concatenate([-one.weight, one.weight], axis=1) / 2,
        bias=np.concatenate([-one.bias, one.bias]) / 2,
      )
      for one in _fits(x, position, regularizers, penalty=0.5)
    )
  yield from _classifiers(solutions, standard, present, classes)


def path_multi_label(
  features: Float[np.ndarray, 'n F'],
  labels: Int[np.ndarray, 'n C'],
  regularizers: Sequence[float],
) -> Iterator[tuple[float, Classifier]]:
  """Yields each regularizer, strongest first, with one classifier per class.

  Each class is fitted against the images without it.

  Args:
    features: [n, F].
    labels: [n, C], 1 where the class is present, 0 where it is not, and -1
      where the pair does not count. A class without an image of either kind
      has a weight of 0 and the logit `ABSENT`.
    regularizers: λ of every class, each > 0.

  Raises:
    ValueError: a number outside its range.
  """
  linear_model_lib.check_regularizers(regularizers)
  standard = linear_model_lib.standard(features)
  x = standard.apply(features)
  columns = [_one_class(x, column, regularizers) for column in labels.T]
  solutions = (
    _Fitted(
      fitted[0].regularizer,
      np.concatenate([one.weight for one in fitted], axis=1),
      np.concatenate([one.bias for one in fitted]),
      all(one.converged for one in fitted),
    )
    for fitted in zip(*columns, strict=True)
  )
  every = np.arange(labels.shape[1])
  yield from _classifiers(solutions, standard, every, len(every))


def _classifiers(
  solutions: Iterable[_Fitted],
  standard: Standard,
  present: np.ndarray,
  classes: int,
) -> Iterator[tuple[float, Classifier]]:
  """Yields the classifier of each solution, and logs which did not converge."""
  unfinished = set()
  for regularizer, weight, bias, converged in solutions:
    if not converged:
      unfinished.add(regularizer)
    yield regularizer, standard.classifier(weight, bias, present, classes)
  if unfinished:
    _log.warning(
      'L-BFGS stopped before it converged for the regularizers %s.',
      ', '.join(f'{r:g}' for r in sorted(unfinished)),
    )


def _one_class(
  x: np.ndarray, column: np.ndarray, regularizers: Sequence[float]
) -> list[_Fitted]:
  """Fits one class against the rest, for each regularizer."""
  known = column >= 0
  if len(np.unique(column[known])) < 2:
    nothing = np.zeros((x.shape[1], 1)), np.full(1, ABSENT)
    return [_Fitted(r, *nothing, True) for r in _strongest_first(regularizers)]
  return list(_fits(x[known], column[known], regularizers))


def _fits(
  x: np.ndarray,
  label: np.ndarray,
  regularizers: Sequence[float],
  penalty: float = 1.0,
) -> Iterator[_Fitted]:
  """Yields scikit-learn's solutions, each started from the one before.

  Args:
    x: standardized features [n, F], float64.
    label: [n], at least two values.
    regularizers: λ.
    penalty: factor of λ for scikit-learn's weights.
  """
  from sklearn.exceptions import ConvergenceWarning
  from sklearn.linear_model import LogisticRegression

  model = LogisticRegression(
    max_iter=_ITERATIONS, tol=_TOLERANCE, warm_start=True
  )
  for regularizer in _strongest_first(regularizers):
    model.set_params(C=1 / (penalty * regularizer))
    with warnings.catch_warnings(record=True) as caught:
      warnings.simplefilter('always', ConvergenceWarning)
      model.fit(x, label)
    yield _Fitted(
      regularizer,
      # A warm start may overwrite the weights that it starts from.
      model.coef_.T.copy(),
      model.intercept_.copy(),
      not any(issubclass(w.category, ConvergenceWarning) for w in caught),
    )


def _strongest_first(regularizers: Sequence[float]) -> list[float]:
  return sorted(regularizers, reverse=True)
