"""Saliency by an absorbing Markov chain: steps of a walk to the image's rim.

Jiang et al., "Saliency detection via absorbing Markov chain", ICCV 2013. A
walker steps from region to region, preferably of similar color, until it steps
off the image's rim; from an object that takes long. Their second stage, which
reweights a map of little contrast, is left out.
"""

import numpy as np

from semppl_jax.saliency import graph
from semppl_jax.saliency.image import Scene, Superpixels

# Choices, for maps of PASCAL-S that were better than with the paper's 0.1 of
# colors scaled to [0, 1], about 10 in Lab, and its links over two steps.
COLOR = 3.0
# A choice: least weight of a link. Without it a walk leaves an isolated spot so
# rarely that the map shows the spot alone.
LEAST_WEIGHT = 1e-3


def absorption(scene: Scene) -> np.ndarray:
  """Returns the saliency of the regions [R], at least 1: steps to the end."""
  return absorbed_time(*chain(scene.superpixels))


def chain(superpixels: Superpixels) -> tuple[np.ndarray, np.ndarray]:
  """Returns the transition probabilities of the paper's graph.

  Every region of the rim has an absorbing double, linked to the region and to
  all neighbors of it. Each region is also linked with itself.

  Returns:
    From region to region [R, R], and into any double [R]; rows add up to 1.
  """
  weight = np.exp(-graph.color_distances(superpixels) / COLOR) + LEAST_WEIGHT
  linked = graph.links(superpixels)
  # A region has the weight of equal color to itself and to its own double.
  np.fill_diagonal(linked, True)
  weight = np.where(linked, weight, 0)
  end = weight[:, superpixels.rim.any(axis=0)].sum(axis=1)
  total = weight.sum(axis=1) + end
  return weight / total[:, None], end / total


def absorbed_time(stay: np.ndarray, end: np.ndarray) -> np.ndarray:
  """Returns the mean number of steps to absorption [R]: (I - Q)⁻¹ 1.

  The diagonal of I - Q is the sum of the probabilities to leave, so that a
  small one loses no digits.

  Args:
    stay: Q, from region to region [R, R].
    end: probability to be absorbed [R]; rows of both add up to 1.
  """
  from scipy import linalg

  system = -stay
  np.fill_diagonal(system, 0)
  np.fill_diagonal(system, end - system.sum(axis=1))
  return linalg.solve(system, np.ones(len(end)))
