"""Least squares in closed form against its normal equations."""

import functools

import numpy as np
import pytest

from semppl_jax.evaluators import ridge, sweep
from semppl_jax.evaluators.linear_model import ABSENT


def _fit(features, label, classes, regularizer):
  path = ridge.path(features, label, (regularizer,), classes=classes)
  ((_, fitted),) = path
  return fitted


def _data(rows, features, classes, seed=0):
  rng = np.random.default_rng(seed)
  label = np.r_[np.arange(classes), rng.integers(0, classes, rows - classes)]
  centre = rng.normal(size=(classes, features)) * 2
  x = centre[label] + rng.normal(size=(rows, features))
  scale = 10.0 ** rng.uniform(-2, 2, features)
  return (x * scale + scale).astype(np.float32), label.astype(np.int32)


def _slow(features, label, classes, regularizer):
  """Solves for weight and bias at once; the bias is not regularized."""
  x = features.astype(np.float64)
  x = (x - x.mean(axis=0)) / x.std(axis=0)
  x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
  y = 2 * np.eye(classes)[label] - 1
  penalty = regularizer * np.eye(x.shape[1])
  penalty[-1, -1] = 0
  return x @ np.linalg.solve(x.T @ x + penalty, x.T @ y)


@pytest.mark.parametrize(('rows', 'features'), [(60, 7), (12, 30), (9, 9)])
def test_all_regularizers_solve_the_normal_equations(rows, features):
  x, label = _data(rows, features, 4)
  regularizers = (0.01, 1.0, 100.0)
  found = dict(ridge.path(x, label, regularizers, classes=4))
  assert tuple(found) == regularizers
  for regularizer, fitted in found.items():
    want = _slow(x, label, 4, regularizer)
    np.testing.assert_allclose(fitted.logits(x), want, rtol=1e-3, atol=1e-3)


def test_many_parts_of_rows_are_one(monkeypatch):
  x, label = _data(60, 7, 4)
  whole = _fit(x, label, 4, 1.0)
  monkeypatch.setattr('semppl_jax.evaluators.linear_model._ROWS', 11)
  parts = _fit(x, label, 4, 1.0)
  np.testing.assert_allclose(parts.weight, whole.weight, rtol=1e-5)
  np.testing.assert_allclose(parts.bias, whole.bias, rtol=1e-5)


def test_a_golden_value():
  # Deviation 1 and mean 0 already: W = xᵀy / (n + λ), the bias is the mean.
  x = np.array([[1], [1], [-1], [-1]], np.float32)
  label = np.array([0, 0, 1, 1], np.int32)
  got = _fit(x, label, 2, 4.0)
  np.testing.assert_allclose(got.weight, [[0.5, -0.5]])
  np.testing.assert_allclose(got.bias, [0, 0], atol=1e-7)


def test_hidden_labels_and_absent_classes():
  x, label = _data(60, 7, 3)
  hidden = np.where(np.arange(60) % 4 == 3, -1, label)
  wide = np.where(hidden == 2, 4, hidden)
  got = _fit(x, wide, 6, 1.0).logits(x)
  known = hidden >= 0
  want = _fit(x[known], hidden[known], 3, 1.0).logits(x)
  np.testing.assert_array_equal(got[:, [0, 1, 4]], want)
  assert (got[:, [2, 3, 5]] == np.float32(ABSENT)).all()
  assert want.min() > ABSENT


def test_a_sweep_takes_what_generalizes():
  rng = np.random.default_rng(0)
  # As many features of noise as images: a weak regularizer fits the noise.
  x = rng.normal(size=(200, 150)).astype(np.float32)
  label = (x[:, :3].sum(axis=1) > 0).astype(np.int32)
  path = functools.partial(ridge.path, classes=2)
  part = sweep.split(label, 0.3, 0)
  got = sweep.sweep(path, x, label, (1e-6, 10.0, 1e9), part)
  assert list(got.table) == [1e-6, 10.0, 1e9]
  assert got.table[got.regularizer] == max(got.table.values())
  assert got.table[1e-6] < got.table[10.0]
  again = _fit(x, label, 2, got.regularizer)
  np.testing.assert_array_equal(got.classifier.weight, again.weight)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (dict(regularizer=0.0), 'numbers > 0, got'),
    (dict(label=np.zeros(4, np.int32)), 'two or more classes, got 1'),
    (dict(label=np.full(4, -1)), 'two or more classes, got 0'),
    (dict(classes=3), 'Labels must be < 3, the number of classes, got 3'),
  ],
)
def test_bad_input_is_named(change, message):
  good = dict(
    features=np.eye(4), label=np.arange(4), classes=4, regularizer=1.0
  )
  with pytest.raises(ValueError, match=message):
    _fit(**good | change)
