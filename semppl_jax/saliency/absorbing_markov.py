"""Saliency by an absorbing Markov chain: how long a walk keeps off the rim.

Jiang et al., "Saliency detection via absorbing Markov chain", ICCV 2013. A
walker steps from region to region, sooner to one of similar colour, until it
steps off the image's rim; from an object that takes long. Their second stage,
which reweights the map where the first finds little contrast, is left out.
"""

import numpy as np

from semppl_jax.saliency import graph
from semppl_jax.saliency.image import Scene
from semppl_jax.saliency.superpixels import Superpixels

# Choices, for maps of PASCAL-S that were better than with the paper's 0.1 of
# colours scaled to [0, 1], about 10 in Lab, and its links over two steps.
COLOUR = 3.0
# A choice: a link between unlike regions is never weaker. Without it a walk
# leaves an isolated spot so seldom that the spot is all of the map.
LEAST_WEIGHT = 1e-3


def absorption(scene: Scene) -> np.ndarray:
  """Saliency of the regions [R], at least 1: steps until the walk ends."""
  return absorbed_time(*chain(scene.superpixels))


def chain(superpixels: Superpixels) -> tuple[np.ndarray, np.ndarray]:
  """Transition probabilities of the paper's graph.

  Every region of the rim has a double that absorbs, linked to all to which the
  region is, and to the region. Each region is also linked with itself.

  Returns:
    From region to region [R, R], and into any double [R]; rows add up to 1.
  """
  weight = np.exp(-graph.colour_distances(superpixels) / COLOUR) + LEAST_WEIGHT
  linked = graph.links(superpixels)
  # To itself a region has the weight of equal colour, as to its own double.
  np.fill_diagonal(linked, True)
  weight = np.where(linked, weight, 0)
  end = weight[:, superpixels.rim.any(axis=0)].sum(axis=1)
  total = weight.sum(axis=1) + end
  return weight / total[:, None], end / total


def absorbed_time(stay: np.ndarray, end: np.ndarray) -> np.ndarray:
  """Mean number of steps until absorption [R], at least 1: (I - Q)⁻¹ 1.

  The diagonal of I - Q is taken from the probabilities to leave, so that one
  that hardly ever does loses no digits.

  Args:
    stay: Q, from region to region [R, R].
    end: probability to be absorbed [R]; rows of both add up to 1.
  """
  from scipy import linalg

  system = -stay
  np.fill_diagonal(system, 0)
  np.fill_diagonal(system, end - system.sum(axis=1))
  return linalg.solve(system, np.ones(len(end)))
