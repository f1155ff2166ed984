"""Labels that travel over a graph of neighbours."""

import numpy as np
import pytest

from semppl_jax.evaluators import label_propagation


def _slow(query, support, label, classes, k, power, alpha):
  """The same by dense matrices and a direct solver."""
  x = np.concatenate([query, support]).astype(np.float64)
  x /= np.linalg.norm(x, axis=1, keepdims=True)
  cosines = x @ x.T
  np.fill_diagonal(cosines, -np.inf)
  graph = np.zeros_like(cosines)
  for row, similar in enumerate(cosines):
    near = np.argsort(-similar)[:k]
    graph[row, near] = np.maximum(similar[near], 0) ** power
  graph = np.maximum(graph, graph.T)
  degree = graph.sum(axis=1)
  s = graph / np.sqrt(np.outer(degree, degree))
  y = np.zeros((len(x), classes))
  y[len(query) + np.arange(len(support)), label] = 1
  z = np.linalg.solve(np.eye(len(x)) - alpha * s, y)[: len(query)]
  z = z / np.bincount(label, minlength=classes)
  return z / z.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
  ('k', 'power', 'alpha'), [(5, 3.0, 0.9), (2, 1.0, 0.5)]
)
def test_scores_are_those_of_the_linear_system(k, power, alpha):
  rng = np.random.default_rng(0)
  query, support = (
    np.abs(rng.normal(size=(n, 6))).astype(np.float32) for n in (40, 9)
  )
  label = np.repeat([0, 1, 2], [2, 3, 4])
  have = label_propagation.scores(
    query, support, label, 3, k=k, power=power, alpha=alpha
  )
  want = _slow(query, support, label, 3, k, power, alpha)
  np.testing.assert_allclose(have, want, rtol=1e-3, atol=1e-4)


def test_labels_follow_a_chain_where_the_nearest_label_is_another():
  """Two half circles: the far end of one is nearer to the other's label."""
  angle = np.linspace(0, np.pi, 60)
  moons = [
    np.stack([np.cos(angle), np.sin(angle)], axis=1),
    np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], axis=1),
  ]
  # On a sphere, since similarity is a cosine.
  points = np.concatenate(moons) * 0.3
  sphere = np.concatenate([points, np.ones((120, 1))], axis=1)
  label = np.repeat([0, 1], 60)
  known = np.array([0, 60])
  rest = np.setdiff1d(np.arange(120), known)
  found = label_propagation.scores(
    sphere[rest], sphere[known], label[known], 2, k=4, alpha=0.99
  )
  assert (found.argmax(axis=1) == label[rest]).mean() > 0.95
  nearest = (sphere[rest] @ sphere[known].T).argmax(axis=1)
  assert (nearest == label[rest]).mean() < 0.9


def test_what_no_label_reaches_has_equal_shares():
  rng = np.random.default_rng(0)
  far = np.eye(4)[0] + 0.01 * rng.random((5, 4))
  near = np.eye(4)[1] + 0.01 * rng.random((5, 4))
  found = label_propagation.scores(
    np.concatenate([far, near]), near[:2] + 0.001, np.array([0, 1]), 3, k=2
  )
  np.testing.assert_allclose(found[:5], 1 / 3)
  np.testing.assert_allclose(found.sum(axis=1), 1)


@pytest.mark.parametrize('wrong', [{'k': 0}, {'alpha': 1.0}])
def test_numbers_outside_their_range_are_refused(wrong):
  x = np.ones((3, 2))
  with pytest.raises(ValueError, match='k must be at least 1 and alpha'):
    label_propagation.scores(x, x, np.array([0, 1, 0]), 2, **wrong)
