"""The weighted k-NN against NumPy, padding and unknown labels included."""

import jax
import numpy as np
import pytest

from semppl_jax import mesh as mesh_lib
from semppl_jax.evaluators import knn


def _data(queries=13, rows=37, classes=4, seed=0):
  rng = np.random.default_rng(seed)
  centre = rng.normal(size=(classes, 6)) * 2
  label = rng.integers(0, classes, rows).astype(np.int32)
  truth = rng.integers(0, classes, queries).astype(np.int32)
  noise = lambda n: rng.normal(size=(n, 6))
  draw = lambda y: (centre[y] + noise(len(y))).astype(np.float32)
  return draw(truth), truth, draw(label), label


def _slow(query, support, label, k, temperature):
  unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)
  result = []
  for q in unit(query):
    similarity = unit(support) @ q
    near = np.argsort(-similarity, kind='stable')[:k]
    votes = np.zeros(label.max() + 1)
    for n in near:
      votes[label[n]] += np.exp(similarity[n] / temperature)
    result.append(votes.argmax())
  return np.array(result)


@pytest.mark.parametrize('devices', [1, 8])
def test_predictions_are_those_of_numpy(devices):
  mesh = mesh_lib.make_mesh(jax.devices()[:devices])
  query, _, support, label = _data()
  got = knn.predict(query, support, label, (1, 5, 20, 200), 0.07, mesh)
  for k, predicted in got.items():
    np.testing.assert_array_equal(
      predicted, _slow(query, support, label, k, 0.07)
    )


def test_images_without_a_label_neither_vote_nor_count():
  mesh = mesh_lib.make_mesh(jax.devices()[:1])
  query, truth, support, label = _data()
  hidden_truth, hidden_label = truth.copy(), label.copy()
  hidden_truth[::3] = -1
  hidden_label[::2] = -1
  got = knn.top1(query, hidden_truth, support, hidden_label, (5,), 0.07, mesh)
  asked, known = hidden_truth >= 0, hidden_label >= 0
  want = _slow(query[asked], support[known], label[known], 5, 0.07)
  assert got[5] == np.mean(want == truth[asked])


def test_a_test_set_without_labels_has_no_accuracy():
  mesh = mesh_lib.make_mesh(jax.devices()[:1])
  query, truth, support, label = _data()
  hidden = np.full_like(truth, -1)
  assert knn.top1(query, hidden, support, label, (5,), 0.07, mesh) == {}
