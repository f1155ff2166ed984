"""Minimum barrier saliency: what no smooth path leads to from the rim.

Zhang et al., "Minimum barrier salient object detection at 80 FPS", ICCV 2015:
their MB+, distances to the rim plus difference from the colours there. Unlike
theirs, the map is averaged over superpixels, in place of their morphological
smoothing.
"""

import numpy as np

from semppl_jax.saliency.barrier_distance import distances
from semppl_jax.saliency.image import resize, Scene, shrink
from semppl_jax.saliency.postprocess import normalise
from semppl_jax.saliency.superpixels import pool

# A choice; the paper's 300 pixels take nine times as long and find no more,
# since texture puts barriers into every path.
SIDE = 100
# The paper's: width of the strips along the rim, in image sides.
STRIP = 0.1
# A choice, in squared Lab units: about a just visible difference. The
# covariance of a plain strip is that of rounding, or has no inverse.
LEAST_VARIANCE = 1.0


def barrier(scene: Scene) -> np.ndarray:
  """Saliency of the regions [R], at least 0."""
  small = shrink(scene.lab, SIDE)
  far = normalise(distances(small).mean(axis=-1))
  found = (far + normalise(backgroundness(small))) * centredness(far.shape)
  labels = scene.superpixels.labels
  return pool(scene.superpixels, resize(found, labels.shape))


def backgroundness(lab: np.ndarray) -> np.ndarray:
  """How little a pixel's colour is like that of three sides [H, W], at least 0.

  Mahalanobis distances from the colours of the four strips, each over its
  greatest, and their sum without the largest, since an object may cover a side.

  Args:
    lab: [H, W, 3], float32.
  """
  y, x = (max(1, round(STRIP * side)) for side in lab.shape[:2])
  strips = lab[:y], lab[-y:], lab[:, :x], lab[:, -x:]
  unlike = np.stack([_unlike(lab, strip) for strip in strips])
  return unlike.sum(axis=0) - unlike.max(axis=0)


def _unlike(lab: np.ndarray, strip: np.ndarray) -> np.ndarray:
  colours = strip.reshape(-1, 3).astype(np.float64)
  mean = colours.mean(axis=0)
  apart = colours - mean
  covariance = apart.T @ apart / len(apart) + LEAST_VARIANCE * np.eye(3)
  white = np.linalg.cholesky(np.linalg.inv(covariance))
  unlike = np.linalg.norm((lab - mean) @ white, axis=-1)
  return unlike / max(unlike.max(), np.finfo(float).tiny)


def centredness(shape: tuple[int, ...]) -> np.ndarray:
  """The paper's cone, 1 at the centre and 0 at the corners [H, W]."""
  y, x = (np.arange(side) - (side - 1) / 2 for side in shape)
  return 1 - np.hypot(y[:, None], x) / np.hypot(shape[0] / 2, shape[1] / 2)
