"""Graphs by hand, and paths against SciPy's."""

import numpy as np
from scipy.sparse import csgraph

from semppl_jax.saliency import graph
from tests.helpers.scenes import random_scene


def test_links_by_hand():
  # 0 1 2 3 4 above 5 ... 9 and so on; inner are 6, 7, 8, 11, 12 and 13.
  superpixels = random_scene(0).superpixels
  inner = {6, 7, 8, 11, 12, 13}
  one, two = graph.links(superpixels), graph.links(superpixels, rings=2)
  for linked in (one, two):
    np.testing.assert_array_equal(linked, linked.T)
    assert not linked.diagonal().any()
  assert set(np.flatnonzero(one[7])) == {2, 6, 8, 12}
  assert set(np.flatnonzero(two[7])) == {2, 6, 8, 12, 1, 3, 5, 9, 11, 13, 17}
  rim = set(range(20)) - inner
  assert set(np.flatnonzero(one[0])) == rim - {0}
  assert set(np.flatnonzero(one[5])) == rim - {5} | {6}


def test_distances_are_euclidean():
  superpixels = random_scene(1).superpixels
  got = graph.color_distances(superpixels)
  want = np.linalg.norm(superpixels.color[3] - superpixels.color[8])
  np.testing.assert_allclose(got[3, 8], want, rtol=1e-6)
  # One row is 6 of the 30 pixels of the longer side.
  np.testing.assert_allclose(graph.place_distances(superpixels)[3, 8], 0.2)


def test_shortest_paths_are_those_of_dijkstra():
  rng = np.random.default_rng(0)
  steps = rng.uniform(1, 10, (30, 30))
  steps = np.where(rng.random(steps.shape) < 0.1, steps, np.inf)
  steps = np.minimum(steps, steps.T)
  sparse = np.where(np.isfinite(steps), steps, 0)
  got = graph.shortest_paths(steps)
  np.testing.assert_allclose(got, csgraph.dijkstra(sparse), rtol=1e-12)
  assert np.isinf(got).any() or np.isfinite(got).all()
  assert np.isfinite(steps).mean() < 0.3, 'a graph that needs paths'


def test_a_path_through_equals_costs_nothing():
  steps = np.full((3, 3), np.inf)
  steps[0, 1] = steps[1, 0] = steps[1, 2] = steps[2, 1] = 0
  assert not graph.shortest_paths(steps).any()
