"""Classes from features, on groups that are far apart."""

import jax
import numpy as np
import pytest

from semppl_jax.evaluators.features import Features
from semppl_jax.labelling import classify
from semppl_jax.labelling.classify import Labelled
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.runtime.errors import InputError

NAMES = ('ant', 'bee', 'cat')
MESH = mesh_lib.make_mesh(jax.devices()[:1])


def _groups(each, seed):
  rng = np.random.default_rng(seed)
  label = np.repeat(np.arange(3, dtype=np.int32), each)
  return (
    (np.eye(3, 6)[label] * 5 + rng.normal(size=(3 * each, 6))).astype(
      np.float32
    ),
    label,
  )


def _features(each=10, **values):
  x, label = _groups(each, 1)
  return Features(
    {'encoder': x, **values}, label, np.arange(3 * each, dtype=np.int32)
  )


@pytest.mark.parametrize('each', [1, 4])
@pytest.mark.parametrize('by', ['logistic', 'propagation', 'soft_nn', 'knn'])
def test_every_classifier_tells_groups_apart(by, each):
  labelled = Labelled(*_groups(each, 0), NAMES)
  features = _features()
  found = classify.predict(features, labelled, (), by, MESH)
  np.testing.assert_allclose(found.probability.sum(axis=1), 1, rtol=1e-5)
  right = [NAMES[n] for n in features.label] == np.asarray(found.label)
  assert right.mean() > 0.9
  np.testing.assert_array_equal(found.confidence, found.probability.max(axis=1))
  np.testing.assert_array_equal(
    found.order[:, 0], found.probability.argmax(axis=1)
  )


def test_similarity_is_the_largest_cosine():
  labelled = Labelled(*_groups(2, 0), NAMES)
  features = _features()
  found = classify.predict(features, labelled, (), 'knn', MESH)
  for x, most in zip(features.values['encoder'], found.similarity, strict=True):
    cosines = [
      x @ y / np.linalg.norm(x) / np.linalg.norm(y) for y in labelled.features
    ]
    assert most == pytest.approx(max(cosines), abs=1e-5)


def test_the_classifier_of_the_network_is_a_softmax_of_its_logits():
  logits = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
  features = _features(logits=logits)
  found = classify.predict(features, None, NAMES, 'classifier', MESH)
  want = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
  np.testing.assert_allclose(found.probability, want, rtol=1e-5)
  assert found.similarity is None and found.class_names == NAMES


def test_few_labels_are_propagated():
  assert classify.default(None) == 'classifier'
  few, many = (Labelled(*_groups(n, 0), NAMES) for n in (5, 6))
  assert classify.default(few) == 'propagation'
  assert classify.default(many) == 'logistic'


def test_an_unknown_classifier_tells_the_nearest():
  with pytest.raises(InputError, match="did you mean 'logistic'"):
    classify.check('logistics', classifier=True, labelled=True)
