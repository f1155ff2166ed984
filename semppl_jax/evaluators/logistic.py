"""Logistic regression by L-BFGS, for features that fit in memory.

minimise Σ cross-entropy(x W + b, y) + λ/2 |W|², where x are standardised
features and b is free. Kornblith et al., "Do better ImageNet models transfer
better?", arXiv 1805.08974, choose λ from 45 values between 1e-6 and 1e5,
logarithmically spaced; scikit-learn's C is 1/λ. A constant feature is only
centred, and what standardised is folded into the classifier that is returned.
"""

from collections.abc import Collection, Iterator, Sequence
import logging
from typing import Any, NamedTuple
import warnings

import numpy as np

from semppl_jax.evaluators import linear_model as linear_model_lib
from semppl_jax.evaluators.linear_model import ABSENT, Classifier

_log = logging.getLogger(__name__)

_ITERATIONS = 1000
# Of the largest entry of the mean loss's gradient.
_TOLERANCE = 1e-5


class _Fitted(NamedTuple):
  """What scikit-learn found with one regulariser.

  Attributes:
    regulariser: λ.
    weight: of the standardised features [F, P].
    bias: [P].
    converged: whether it had nothing to warn of.
  """

  regulariser: float
  weight: np.ndarray
  bias: np.ndarray
  converged: bool


def path(
  features: np.ndarray,
  label: np.ndarray,
  regularisers: Sequence[float],
  *,
  classes: int,
) -> Iterator[tuple[float, Classifier]]:
  """Yields each regulariser, strongest first, with its classifier.

  Args:
    features: [n, F].
    label: classes [n], int32; images below 0 are left out.
    regularisers: λ, each > 0.
    classes: C; a class without an image has the lowest logit.

  Raises:
    ValueError: a number out of its range, or fewer than two classes.
  """
  linear_model_lib.check_regularisers(features, regularisers)
  features, label = linear_model_lib.labelled(features, label, classes)
  standard = linear_model_lib.standard(features)
  present, position = np.unique(label, return_inverse=True)
  x = standard.apply(features)
  # scikit-learn gives two classes one weight, the difference of theirs. Their
  # own are half of it and its negative, whose squares sum to half of its.
  pair = len(present) == 2
  unfinished = set()
  for fitted in _fits(x, position, regularisers, 0.5 if pair else 1.0):
    weight, bias = fitted.weight, fitted.bias
    if pair:
      weight = np.concatenate([-weight, weight], axis=1) / 2
      bias = np.concatenate([-bias, bias]) / 2
    if not fitted.converged:
      unfinished.add(fitted.regulariser)
    built = standard.classifier(weight, bias, present, classes)
    yield fitted.regulariser, built
  _report(unfinished)


def path_multi_label(
  features: np.ndarray, labels: np.ndarray, regularisers: Sequence[float]
) -> Iterator[tuple[float, Classifier]]:
  """Yields each regulariser, strongest first, with one classifier per class.

  Each class is fitted against the images without it.

  Args:
    features: [n, F].
    labels: [n, C], 1 where the class is present, 0 where it is not, and -1
      where the pair does not count. A class without an image of either kind
      has a weight of 0 and the lowest logit.
    regularisers: λ of every class, each > 0.

  Raises:
    ValueError: a number out of its range, or labels that do not fit.
  """
  linear_model_lib.check_regularisers(features, regularisers)
  if labels.ndim != 2 or len(labels) != len(features):
    raise ValueError(
      f'Labels of {len(features)} images of several classes each must be'
      f' [{len(features)}, C], got {labels.shape}.'
    )
  standard = linear_model_lib.standard(features)
  x = standard.apply(features)
  columns = [_one_class(x, column, regularisers) for column in labels.T]
  every = np.arange(labels.shape[1])
  unfinished = set()
  for fitted in zip(*columns, strict=True):
    regulariser = fitted[0].regulariser
    if not all(one.converged for one in fitted):
      unfinished.add(regulariser)
    weight = np.concatenate([one.weight for one in fitted], axis=1)
    bias = np.concatenate([one.bias for one in fitted])
    # Where nothing was fitted the weight is 0, and the bias stays ABSENT.
    yield regulariser, standard.classifier(weight, bias, every, len(every))
  _report(unfinished)


def _one_class(
  x: np.ndarray, column: np.ndarray, regularisers: Sequence[float]
) -> list[_Fitted]:
  """Fits one class against the rest, for each regulariser."""
  known = column >= 0
  if len(np.unique(column[known])) < 2:
    nothing = np.zeros((x.shape[1], 1)), np.full(1, ABSENT)
    return [_Fitted(r, *nothing, True) for r in _strongest_first(regularisers)]
  return list(_fits(x[known], column[known], regularisers))


def _fits(
  x: np.ndarray,
  label: np.ndarray,
  regularisers: Sequence[float],
  penalty: float = 1.0,
) -> Iterator[_Fitted]:
  """Yields what scikit-learn finds, each starting from the stronger one's.

  Args:
    x: standardised features [n, F], float64.
    label: [n], two values or more.
    regularisers: λ.
    penalty: share of λ that is on scikit-learn's weights.
  """
  from sklearn.linear_model import LogisticRegression

  model = LogisticRegression(
    max_iter=_ITERATIONS, tol=_TOLERANCE, warm_start=True
  )
  for regulariser in _strongest_first(regularisers):
    model.set_params(C=1 / (penalty * regulariser))
    converged = _converges(model, x, label)
    # A warm start may write over the weights that it starts from.
    weight, bias = model.coef_.T.copy(), model.intercept_.copy()
    yield _Fitted(regulariser, weight, bias, converged)


def _converges(model: Any, x: np.ndarray, label: np.ndarray) -> bool:
  """Fits, and says whether scikit-learn had nothing to warn of."""
  from sklearn.exceptions import ConvergenceWarning

  with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter('always', ConvergenceWarning)
    model.fit(x, label)
  converged = True
  for one in caught:
    if issubclass(one.category, ConvergenceWarning):
      converged = False
    else:
      warnings.warn_explicit(
        one.message, one.category, one.filename, one.lineno
      )
  return converged


def _strongest_first(regularisers: Sequence[float]) -> list[float]:
  return sorted(regularisers, reverse=True)


def _report(unfinished: Collection[float]) -> None:
  if unfinished:
    _log.warning(
      'L-BFGS stopped before it converged for the regularisers %s.',
      ', '.join(f'{r:g}' for r in sorted(unfinished)),
    )
