"""Robust background detection: regions along the image's rim are background.

Zhu et al., "Saliency optimization from robust background detection", CVPR 2014.
An object may touch the rim with a small part of its outline; a background
region touches it with a large part.
"""

import numpy as np

from semppl_jax.saliency import graph
from semppl_jax.saliency.image import Scene, Superpixels
from semppl_jax.saliency.postprocess import normalize, otsu

# The paper's: widths of color (Lab), of place (longer sides) and of
# connectivity, and the least smoothness.
COLOR = 10.0
PLACE = 0.25
CONNECTIVITY = 1.0
SMOOTHNESS = 0.1
# Weight of background over foreground: from the authors' code.
BACKGROUND = 5.0
# A choice: colors so near (Lab) are equal on a path. The authors' code
# derives such a limit from each image.
SAME_COLOR = 2.0


def boundary(scene: Scene) -> np.ndarray:
  """Returns the saliency of the regions [R], in [0, 1]."""
  superpixels = scene.superpixels
  background = 1 - np.exp(
    -(connectivity(superpixels) ** 2) / (2 * CONNECTIVITY**2)
  )
  foreground = normalize(background_contrast(superpixels, background))
  # As the authors' code has it: values below the threshold are no hint.
  foreground[foreground < otsu(foreground, superpixels.area)] = 0
  return optimize(background, foreground, smoothness(superpixels))


def connectivity(superpixels: Superpixels) -> np.ndarray:
  """Returns the boundary connectivity [R], at least 0: equations 2 to 5.

  Length at the rim over the root of the area, of all regions of similar color
  that can be reached without crossing an edge.
  """
  steps = np.maximum(graph.color_distances(superpixels) - SAME_COLOR, 0)
  # float32: twice as fast.
  steps = np.where(graph.links(superpixels), steps, np.inf).astype(np.float32)
  geodesic = graph.shortest_paths(steps)
  same = np.exp(-(geodesic**2) / (2 * COLOR**2))
  rim = superpixels.rim.any(axis=0)
  return same[:, rim].sum(axis=1) / np.sqrt(same.sum(axis=1))


def background_contrast(
  superpixels: Superpixels, background: np.ndarray
) -> np.ndarray:
  """Returns color differences from nearby background [R]: equation 7.

  Args:
    superpixels: R regions.
    background: their probability to be background [R].
  """
  place = graph.place_distances(superpixels)
  near = np.exp(-(place**2) / (2 * PLACE**2))
  return (graph.color_distances(superpixels) * near) @ background


def smoothness(superpixels: Superpixels) -> np.ndarray:
  """Returns weights of equality of two regions [R, R]: equation 10.

  As in the authors' code, regions two steps apart count as neighbors.
  """
  color = graph.color_distances(superpixels)
  alike = np.exp(-(color**2) / (2 * COLOR**2)) + SMOOTHNESS
  return np.where(graph.links(superpixels, rings=2), alike, 0)


def optimize(
  background: np.ndarray, foreground: np.ndarray, smooth: np.ndarray
) -> np.ndarray:
  """Returns the saliency [R], in [0, 1], that minimizes equation 9.

  Σ_i λ b_i s_i² + Σ_i f_i (s_i - 1)² + ½ Σ_ij w_ij (s_i - s_j)², whose gradient
  is zero at the solution of a linear system. (The ½ counts each pair once.)

  Args:
    background: b [R], at least 0, and not all 0.
    foreground: f [R], at least 0.
    smooth: w [R, R], symmetric; its graph is connected.
  """
  from scipy import linalg

  system = np.diag(smooth.sum(axis=1) + BACKGROUND * background + foreground)
  return linalg.solve(system - smooth, foreground, assume_a='pos')
