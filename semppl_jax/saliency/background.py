"""Robust background detection: what lies along the image's rim is background.

Zhu et al., "Saliency optimization from robust background detection", CVPR 2014.
An object may touch the rim, but only a small part of its outline does; a region
of background leans on the rim with much of it.
"""

import numpy as np

from semppl_jax.saliency import graph
from semppl_jax.saliency.image import Scene
from semppl_jax.saliency.postprocess import normalise, otsu
from semppl_jax.saliency.superpixels import Superpixels

# The paper's: widths of colour (Lab), of place (longer sides) and of
# connectivity, and the least smoothness.
COLOUR = 10.0
PLACE = 0.25
CONNECTIVITY = 1.0
SMOOTHNESS = 0.1
# How much more background counts than foreground: from the authors' code.
BACKGROUND = 5.0
# A choice: colours so near (Lab) are the same on a path. The authors' code
# derives such a limit from each image.
SAME_COLOUR = 2.0


def boundary(scene: Scene) -> np.ndarray:
  """Saliency of the regions [R], in [0, 1]."""
  superpixels = scene.superpixels
  background = 1 - np.exp(
    -(connectivity(superpixels) ** 2) / (2 * CONNECTIVITY**2)
  )
  foreground = normalise(background_contrast(superpixels, background))
  # As the authors' code has it: what is not above the threshold is no hint.
  foreground[foreground < otsu(foreground, superpixels.area)] = 0
  return optimise(background, foreground, smoothness(superpixels))


def connectivity(superpixels: Superpixels) -> np.ndarray:
  """Boundary connectivity [R], at least 0: equations 2 to 5.

  Length at the rim over the root of the area, of all regions of similar colour
  that can be reached without crossing an edge.
  """
  steps = np.maximum(graph.colour_distances(superpixels) - SAME_COLOUR, 0)
  # Half the digits, twice the speed.
  steps = np.where(graph.links(superpixels), steps, np.inf).astype(np.float32)
  geodesic = graph.shortest_paths(steps)
  same = np.exp(-(geodesic**2) / (2 * COLOUR**2))
  rim = superpixels.rim.any(axis=0)
  return same[:, rim].sum(axis=1) / np.sqrt(same.sum(axis=1))


def background_contrast(
  superpixels: Superpixels, background: np.ndarray
) -> np.ndarray:
  """Difference in colour from nearby background [R]: equation 7.

  Args:
    superpixels: R regions.
    background: their probability to be background [R].
  """
  place = graph.place_distances(superpixels)
  near = np.exp(-(place**2) / (2 * PLACE**2))
  return (graph.colour_distances(superpixels) * near) @ background


def smoothness(superpixels: Superpixels) -> np.ndarray:
  """How strongly two regions should be equal [R, R]: equation 10.

  As in the authors' code, regions two steps apart count as neighbours.
  """
  colour = graph.colour_distances(superpixels)
  alike = np.exp(-(colour**2) / (2 * COLOUR**2)) + SMOOTHNESS
  return np.where(graph.links(superpixels, rings=2), alike, 0)


def optimise(
  background: np.ndarray, foreground: np.ndarray, smooth: np.ndarray
) -> np.ndarray:
  """Saliency [R], in [0, 1], that minimises equation 9.

  Σ_i λ b_i s_i² + Σ_i f_i (s_i - 1)² + ½ Σ_ij w_ij (s_i - s_j)², whose gradient
  is zero at the solution of a linear system. (The ½ counts each pair once.)

  Args:
    background: b [R], at least 0, and somewhere above.
    foreground: f [R], at least 0.
    smooth: w [R, R], symmetric; its graph is connected.
  """
  from scipy import linalg

  system = np.diag(smooth.sum(axis=1) + BACKGROUND * background + foreground)
  return linalg.solve(system - smooth, foreground, assume_a='pos')
