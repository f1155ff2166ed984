"""Logistic regression is at the optimum of what its docstring says."""

import functools

import numpy as np
import pytest

from semppl_jax.evaluators import logistic, metrics, sweep
from semppl_jax.evaluators.linear_model import ABSENT


def _fit(features, label, classes, regularizer):
  path = logistic.path(features, label, (regularizer,), classes=classes)
  ((_, fitted),) = path
  return fitted


def _fit_multi_label(features, labels, regularizer):
  ((_, fitted),) = logistic.path_multi_label(features, labels, (regularizer,))
  return fitted


def _data(classes, rows=80, features=5, seed=0):
  rng = np.random.default_rng(seed)
  label = np.r_[np.arange(classes), rng.integers(0, classes, rows - classes)]
  centre = rng.normal(size=(classes, features))
  x = centre[label] + rng.normal(size=(rows, features))
  scale = 10.0 ** rng.uniform(-2, 2, features)
  return (x * scale + scale).astype(np.float32), label.astype(np.int32)


def _gradient(fitted, features, label, regularizer):
  """Of Σ cross-entropy + λ/2 |W|², by the standardized weights and the bias."""
  x = features.astype(np.float64)
  deviation = x.std(axis=0)
  standardized = (x - x.mean(axis=0)) / deviation
  logits = x @ fitted.weight.astype(np.float64) + fitted.bias
  share = np.exp(logits - logits.max(axis=1, keepdims=True))
  share /= share.sum(axis=1, keepdims=True)
  wrong = share - np.eye(logits.shape[1])[label]
  weight = fitted.weight * deviation[:, None]
  return standardized.T @ wrong + regularizer * weight, wrong.sum(axis=0)


@pytest.mark.parametrize('classes', [2, 3, 6])
@pytest.mark.parametrize('regularizer', [0.1, 10.0])
def test_the_gradient_vanishes(classes, regularizer):
  x, label = _data(classes)
  fitted = _fit(x, label, classes, regularizer)
  assert fitted.weight.dtype == fitted.bias.dtype == np.float32
  for part in _gradient(fitted, x, label, regularizer):
    np.testing.assert_allclose(part, 0, atol=3e-3)
  # Not because all weights are nothing.
  weight = fitted.weight * x.std(axis=0)[:, None]
  assert np.abs(weight).max() > 0.1


def test_a_path_ends_where_single_fits_end():
  x, label = _data(4)
  found = dict(logistic.path(x, label, (0.1, 10.0, 1.0), classes=4))
  assert list(found) == [10.0, 1.0, 0.1]
  for regularizer, fitted in found.items():
    alone = _fit(x, label, 4, regularizer)
    np.testing.assert_allclose(
      fitted.logits(x), alone.logits(x), atol=2e-3, rtol=2e-3
    )


def test_hidden_labels_and_absent_classes():
  x, label = _data(3)
  hidden = np.where(np.arange(80) % 4 == 3, -1, label)
  wide = np.where(hidden == 2, 4, hidden)
  got = _fit(x, wide, 6, 1.0).logits(x)
  known = hidden >= 0
  want = _fit(x[known], hidden[known], 3, 1.0).logits(x)
  np.testing.assert_array_equal(got[:, [0, 1, 4]], want)
  assert (got[:, [2, 3, 5]] == np.float32(ABSENT)).all()


def test_a_sweep_takes_what_generalizes():
  rng = np.random.default_rng(0)
  x = rng.normal(size=(120, 60)).astype(np.float32)
  label = (x[:, :2].sum(axis=1) > 0).astype(np.int32)
  label[::10] = -1
  path = functools.partial(logistic.path, classes=2)
  part = sweep.split(label, 0.3, 0)
  got = sweep.sweep(path, x, label, (10.0, 1e6), part)
  assert got.table[got.regularizer] == max(got.table.values())
  assert got.regularizer == 10.0 and got.table[1e6] < got.table[10.0]
  again = _fit(x, label, 2, got.regularizer)
  np.testing.assert_array_equal(got.classifier.weight, again.weight)


def test_several_labels_are_one_against_the_rest():
  x, label = _data(3)
  labels = np.eye(3, dtype=np.int32)[label]
  labels[:, 1] = 1 - labels[:, 1]
  labels[::5, 2] = -1
  fitted = _fit_multi_label(x, labels, 1.0)
  for c in range(3):
    known = labels[:, c] >= 0
    # The two-class form halves λ: its weights are each other's negative.
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    pair = _fit(x[known], labels[known, c], 2, 2.0)
    logit = fitted.logits(x)[:, c]
    if known.all():
      both = pair.logits(x)
      np.testing.assert_allclose(logit, both[:, 1] - both[:, 0], atol=3e-3)
    else:
      z = ((x - mean) / deviation)[known].astype(np.float64)
      share = 1 / (1 + np.exp(-logit[known].astype(np.float64)))
      wrong = share - labels[known, c]
      weight = fitted.weight[:, c] * deviation
      np.testing.assert_allclose(z.T @ wrong + weight, 0, atol=3e-3)


def test_a_label_that_all_or_none_have_cannot_be_fitted():
  x, _ = _data(3)
  labels = np.tile(np.array([[0, 1, -1, 0]], np.int32), (80, 1))
  labels[:40, 3] = 1
  fitted = _fit_multi_label(x, labels, 1.0)
  assert not fitted.weight[:, :3].any() and fitted.weight[:, 3].any()
  np.testing.assert_array_equal(fitted.bias[:3], np.float32(ABSENT))


def test_a_sweep_by_average_precision():
  x, label = _data(3)
  labels = np.eye(3, dtype=np.int32)[label]
  part = sweep.Split(np.arange(40), np.arange(40, 80))
  got = sweep.sweep(
      logistic.path_multi_label, x, labels, (1.0, 1e6), part,
      metrics.mean_ap_11,
  )  # fmt: skip
  assert set(got.table) == {1.0, 1e6}
  assert got.classifier.weight.shape == (5, 3)


def test_a_fit_that_does_not_converge_is_one_line(monkeypatch, caplog, recwarn):
  monkeypatch.setattr(logistic, '_ITERATIONS', 1)
  x, label = _data(4)
  assert len(dict(logistic.path(x, label, (1e-4, 1e-3), classes=4))) == 2
  assert [r.getMessage() for r in caplog.records] == [
    'L-BFGS stopped before it converged for the regularizers 0.0001, 0.001.'
  ]
  _fit_multi_label(x, np.eye(4, dtype=np.int32)[label], 1e-3)
  assert len(caplog.records) == 2
  assert not list(recwarn)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (dict(regularizer=-1.0), 'numbers > 0, got'),
    (dict(label=np.zeros(4, np.int32)), 'two or more classes, got 1'),
    (dict(classes=3), 'Labels must be < 3, the number of classes, got 3'),
  ],
)
def test_bad_input_is_named(change, message):
  good = dict(
    features=np.eye(4), label=np.arange(4), classes=4, regularizer=1.0
  )
  with pytest.raises(ValueError, match=message):
    _fit(**good | change)
