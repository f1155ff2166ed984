"""Graphs of the regions of an image, as matrices [R, R]."""

import numpy as np

from semppl_jax.saliency.superpixels import Superpixels


def colour_distances(superpixels: Superpixels) -> np.ndarray:
  """Euclidean distances of the mean Lab colours [R, R], float64."""
  return _distances(superpixels.colour)


def place_distances(superpixels: Superpixels) -> np.ndarray:
  """Distances of the centres [R, R], float64, in longer sides of the image."""
  return _distances(superpixels.place)


def _distances(points: np.ndarray) -> np.ndarray:
  from scipy.spatial import distance

  return distance.cdist(points, points)


def links(superpixels: Superpixels, rings: int = 1) -> np.ndarray:
  """Which regions are linked [R, R], bool, symmetric; none with itself.

  Linked are those that are at most `rings` steps from each other, and all at
  the image's rim with each other: what lies around an object is connected,
  even where the object or a corner parts it.
  """
  regions = len(superpixels.area)
  touch = np.zeros((regions, regions), np.float32)
  touch[tuple(superpixels.edges.T)] = 1
  touch += touch.T
  reach = touch
  for _ in range(rings - 1):
    reach = reach + reach @ touch
  rim = superpixels.rim.any(axis=0)
  linked = (reach > 0) | np.logical_and.outer(rim, rim)
  np.fill_diagonal(linked, False)
  return linked


def shortest_paths(steps: np.ndarray) -> np.ndarray:
  """Lengths of the shortest paths between all nodes [R, R].

  Floyd and Warshall's method: for a few hundred densely linked nodes, faster in
  whole rows than SciPy's Dijkstra over single edges.

  Args:
    steps: lengths of the direct steps [R, R], at least 0; inf where there is
      none.
  """
  length = steps.copy()
  np.fill_diagonal(length, 0)
  for via in range(len(length)):
    np.minimum(length, length[:, via : via + 1] + length[via], out=length)
  return length
