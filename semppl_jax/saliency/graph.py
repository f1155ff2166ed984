"""Graphs of the regions of an image, as matrices [R, R]."""

import numpy as np

from semppl_jax.saliency.image import Superpixels


def color_distances(superpixels: Superpixels) -> np.ndarray:
  """Returns distances of the mean Lab colors [R, R], float64."""
  return _distances(superpixels.color)


def place_distances(superpixels: Superpixels) -> np.ndarray:
  """Returns distances of the centers [R, R], in longer sides of the image."""
  return _distances(superpixels.place)


def _distances(points: np.ndarray) -> np.ndarray:
  from scipy.spatial import distance

  return distance.cdist(points, points)


def links(superpixels: Superpixels, rings: int = 1) -> np.ndarray:
  """Returns links of regions [R, R], bool, symmetric; none with itself.

  Regions at most `rings` steps apart are linked, and all at the image's rim:
  the surroundings of an object are connected, even if it divides them.
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
  """Returns lengths of the shortest paths between all nodes [R, R].

  Floyd and Warshall's method in whole rows: for a few hundred densely linked
  nodes, faster than SciPy's Dijkstra.

  Args:
    steps: lengths of the direct steps [R, R], at least 0; inf for none.
  """
  length = steps.copy()
  np.fill_diagonal(length, 0)
  for via in range(len(length)):
    np.minimum(length, length[:, via : via + 1] + length[via], out=length)
  return length
