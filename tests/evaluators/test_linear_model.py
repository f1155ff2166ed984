"""Standardization and the checks that all linear classifiers share."""

import numpy as np
import pytest

from semppl_jax.evaluators import linear_model as linear_model_lib


def test_standardization_folds_into_the_classifier():
  rng = np.random.default_rng(0)
  features = rng.normal(5, 3, (20_000, 3)).astype(np.float32)
  # Constant but for the last digit, which must not become a feature.
  features[:, 1] = 0.1
  features[::2, 1] = np.nextafter(np.float32(0.1), np.float32(1))
  standard = linear_model_lib.standard(features)
  x = standard.apply(features)
  np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-8)
  np.testing.assert_allclose(x.std(axis=0), [1, 0, 1], atol=1e-6)
  weight, bias = rng.normal(size=(3, 2)), rng.normal(size=2)
  got = standard.classifier(weight, bias, np.array([2, 0]), 4)
  logits = got.logits(features)
  want = x @ weight + bias[None, :]
  np.testing.assert_allclose(logits[:, [2, 0]], want, rtol=1e-4, atol=1e-4)
  assert (logits[:, [1, 3]] == linear_model_lib.ABSENT).all()


def test_only_labelled_images_are_fitted():
  features = np.arange(8.0).reshape(4, 2)
  label = np.array([1, -1, 0, -1])
  kept, classes = linear_model_lib.labelled(features, label, 2)
  np.testing.assert_array_equal(kept, features[[0, 2]])
  np.testing.assert_array_equal(classes, [1, 0])
  with pytest.raises(ValueError, match='two or more classes, got 1'):
    linear_model_lib.labelled(features, np.array([1, -1, 1, -1]), 2)
  with pytest.raises(ValueError, match='Labels must be < 1'):
    linear_model_lib.labelled(features, label, 1)
