"""Maps from values of regions: normalization, contrast and outlines."""

import numpy as np

# That of the sigmoid in Zhang et al., ICCV 2015.
SLOPE = 10.0
# Choices: a window as narrow as half a superpixel, or outlines would blur; and
# He et al.'s ε for a guide in [0, 1].
RADIUS = 2
EPSILON = 1e-3


def normalize(values: np.ndarray) -> np.ndarray:
  """Moves and scales values into [0, 1]; equal values become 0."""
  low, high = values.min(), values.max()
  if not high > low:
    return np.zeros_like(values)
  return (values - low) / (high - low)


def otsu(values: np.ndarray, weight: np.ndarray) -> float:
  """Returns Otsu's threshold, IEEE Trans. SMC 1979, by 64 levels.

  Half-way through the gap between the two classes.

  Args:
    values: [R], in [0, 1].
    weight: weight of each [R].
  """
  from skimage.filters import threshold_otsu

  counts, edges = np.histogram(values, 64, (0, 1), weights=weight)
  # Levels without a value have no mean, and separate nothing.
  levels = (edges[:-1] + edges[1:])[counts > 0] / 2
  if len(levels) < 2:
    return float(levels[0])
  low = threshold_otsu(hist=(counts[counts > 0], levels))
  return float((low + levels[levels > low][0]) / 2)


def contrast(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
  """Raises contrast by a sigmoid around Otsu's threshold [R], in [0, 1].

  Zhang et al. set it at 0.5; detectors whose few high values are far above the
  others would then show one object of several.

  Args:
    values: [R]; equal ones become 0.
    weight: pixels of each [R].
  """
  values = normalize(values)
  middle = otsu(values, weight)
  return normalize(1 / (1 + np.exp(-SLOPE * (values - middle))))


def guided_filter(
  guide: np.ndarray, values: np.ndarray, radius: int = RADIUS
) -> np.ndarray:
  """Smooths a map and keeps the edges of its image [H, W].

  He et al., "Guided image filtering", ECCV 2010, equations 5, 6 and 8.

  Args:
    guide: brightness [H, W], in [0, 1].
    values: [H, W].
    radius: of the window, in pixels.
  """
  from scipy import ndimage

  def box(x: np.ndarray) -> np.ndarray:
    return ndimage.uniform_filter(x, 2 * radius + 1, mode='nearest')

  guide_mean, mean = box(guide), box(values)
  slope = box(guide * values) - guide_mean * mean
  slope /= box(guide * guide) - guide_mean**2 + EPSILON
  return box(slope) * guide + box(mean - slope * guide_mean)
