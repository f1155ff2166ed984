"""Minimum barrier saliency: regions without a smooth path from the rim.

Zhang et al., "Minimum barrier salient object detection at 80 FPS", ICCV 2015:
their MB+, distances to the rim plus difference from the colors there. Unlike
theirs, the map is averaged over superpixels, in place of their morphological
smoothing.

The barrier of a path is its highest minus its lowest value. The exact distance
needs a search per pair of bounds; FastMBD, algorithm 1 of the paper, keeps one
path to every pixel and improves it from its neighbors, so it is never below the
exact one.
"""

import numpy as np

from semppl_jax.saliency.image import region_means, resize, Scene, shrink
from semppl_jax.saliency.postprocess import normalize

# A choice; the paper's 300 pixels take nine times as long for no better maps,
# since texture puts barriers into every path.
SIDE = 100
# From the paper: width of the strips along the rim, in image sides.
STRIP = 0.1
# A choice, in squared Lab units: about a just visible difference. The
# covariance of a plain strip is that of rounding, or has no inverse.
LEAST_VARIANCE = 1.0
# From the paper: forth, back, and forth.
SCANS = 3


def barrier(scene: Scene) -> np.ndarray:
  """Returns the saliency of the regions [R], at least 0."""
  small = shrink(scene.lab, SIDE)
  far = normalize(barrier_distances(small).mean(axis=-1))
  values = (far + normalize(backgroundness(small))) * centeredness(far.shape)
  labels = scene.superpixels.labels
  return region_means(scene.superpixels, resize(values, labels.shape))


def backgroundness(lab: np.ndarray) -> np.ndarray:
  """Returns color differences from three sides of the rim [H, W], at least 0.

  Mahalanobis distances from the colors of the four strips, each over its
  greatest, and their sum without the largest, since an object may cover a side.

  Args:
    lab: [H, W, 3], float32.
  """
  y, x = (max(1, round(STRIP * side)) for side in lab.shape[:2])
  strips = lab[:y], lab[-y:], lab[:, :x], lab[:, -x:]
  unlike = np.stack([_unlike(lab, strip) for strip in strips])
  return unlike.sum(axis=0) - unlike.max(axis=0)


def _unlike(lab: np.ndarray, strip: np.ndarray) -> np.ndarray:
  colors = strip.reshape(-1, 3).astype(np.float64)
  mean = colors.mean(axis=0)
  apart = colors - mean
  covariance = apart.T @ apart / len(apart) + LEAST_VARIANCE * np.eye(3)
  white = np.linalg.cholesky(np.linalg.inv(covariance))
  unlike = np.linalg.norm((lab - mean) @ white, axis=-1)
  return unlike / max(unlike.max(), np.finfo(float).tiny)


def centeredness(shape: tuple[int, ...]) -> np.ndarray:
  """Returns the paper's cone, 1 at the center and 0 at the corners [H, W]."""
  y, x = (np.arange(side) - (side - 1) / 2 for side in shape)
  return 1 - np.hypot(y[:, None], x) / np.hypot(shape[0] / 2, shape[1] / 2)


def barrier_distances(image: np.ndarray, scans: int = SCANS) -> np.ndarray:
  """Returns FastMBD distances from the rim to every pixel [H, W, C].

  A pixel of a scan needs the one beside and the one above it, so the pixels of
  an anti-diagonal, y + x = d, are independent: they are improved at once, and
  the result is that of the scan in order.

  Args:
    image: [H, W, C], float32; channels are independent.
    scans: at least 1; the first and every other one goes down and to the right.
  """
  height, width, channels = image.shape
  y, x = np.mgrid[:height, :width]
  # One row per diagonal, by y, with an empty cell around that no path enters.
  at = y + x + 1, y + 1
  shape = height + width + 1, height + 2, channels
  value = np.zeros(shape, np.float32)
  high = np.full(shape, np.inf, np.float32)
  low = np.full(shape, -np.inf, np.float32)
  best = np.full(shape, -1, np.float32)
  rim = np.full((height, width, 1), np.inf, np.float32)
  rim[[0, -1]] = 0
  rim[:, [0, -1]] = 0
  value[at] = image
  high[at] = image + rim
  low[at] = image - rim
  best[at] = rim
  forth = range(1, height + width)
  for scan in range(scans):
    order, back = (reversed(forth), 1) if scan % 2 else (forth, -1)
    for d in order:
      for beside in (0, back):
        cells = slice(1 + beside, height + 1 + beside)
        _improve(
          value[d, 1:-1],
          (high[d, 1:-1], low[d, 1:-1], best[d, 1:-1]),
          (high[d + back, cells], low[d + back, cells]),
        )
  return best[at]


def _improve(
  value: np.ndarray,
  own: tuple[np.ndarray, np.ndarray, np.ndarray],
  neighbor: tuple[np.ndarray, np.ndarray],
) -> None:
  """Takes the neighbors' paths where their barriers are smaller, in place."""
  high = np.maximum(neighbor[0], value)
  low = np.minimum(neighbor[1], value)
  distance = high - low
  better = distance < own[2]
  for old, new in zip(own, (high, low, distance), strict=True):
    np.copyto(old, new, where=better)
