"""Superpixels and what the detectors ask of them, computed once per image.

Achanta et al., "SLIC superpixels compared to state-of-the-art superpixel
methods", PAMI 2012, as scikit-image has it. R is the number of regions.
"""

from typing import NamedTuple

import numpy as np

# The papers of the detectors take 200 regions or a few more.
COUNT = 200
# A choice, where the range of Lab values in an image is scaled to 1. Regions
# rounder than SLIC's usual ones, 0.1 here, gave better maps in every detector.
COMPACTNESS = 0.25
# SLIC's usual number.
ROUNDS = 10
# Fewer pixels than these would make the mean colours those of noise.
LEAST_PIXELS = 16


class Superpixels(NamedTuple):
  """The regions of an image.

  Attributes:
    labels: region of every pixel [H, W], int32 in [0, R).
    colour: mean CIE Lab [R, 3], float32.
    place: mean (y, x) [R, 2], float32, in units of the image's longer side.
    area: pixels [R], float32.
    rim: whether a region touches the top, bottom, left and right side of the
      image [4, R], bool.
    edges: pairs of regions that touch [E, 2], int32, the lower first.
  """

  labels: np.ndarray
  colour: np.ndarray
  place: np.ndarray
  area: np.ndarray
  rim: np.ndarray
  edges: np.ndarray


def segment(lab: np.ndarray, count: int = COUNT) -> Superpixels:
  """Cuts an image into about `count` regions, fewer where it is small.

  Args:
    lab: CIE Lab [H, W, 3], float32, of any size from one pixel on.
    count: regions wanted, at least 1.
  """
  from skimage.segmentation import slic

  pixels = lab.shape[0] * lab.shape[1]
  labels = slic(
    lab,
    n_segments=max(1, min(count, pixels // LEAST_PIXELS)),
    compactness=COMPACTNESS,
    max_num_iter=ROUNDS,
    convert2lab=False,
    start_label=0,
  )
  return describe(lab, labels)


def describe(lab: np.ndarray, labels: np.ndarray) -> Superpixels:
  """Measures given regions.

  Args:
    lab: CIE Lab [H, W, 3].
    labels: [H, W], int; those that occur are renamed 0, 1, ... in order.
  """
  height, width = labels.shape
  names, flat = np.unique(labels, return_inverse=True)
  flat = flat.ravel()
  labels = flat.reshape(height, width).astype(np.int32)
  area = np.bincount(flat)

  def mean(values: np.ndarray) -> np.ndarray:
    return np.bincount(flat, values.ravel()) / area

  y, x = np.mgrid[:height, :width] / max(height, width)
  rim = np.zeros((4, len(names)), bool)
  sides = labels[0], labels[-1], labels[:, 0], labels[:, -1]
  for row, side in zip(rim, sides, strict=True):
    row[side] = True
  return Superpixels(
    labels=labels,
    colour=np.stack([mean(c) for c in np.moveaxis(lab, -1, 0)], 1, dtype='f4'),
    place=np.stack([mean(y), mean(x)], 1, dtype='f4'),
    area=area.astype(np.float32),
    rim=rim,
    edges=_touching(labels, len(names)),
  )


def _touching(labels: np.ndarray, regions: int) -> np.ndarray:
  """Pairs of regions that have pixels side by side [E, 2], int32."""
  one = np.concatenate([labels[:-1].ravel(), labels[:, :-1].ravel()])
  other = np.concatenate([labels[1:].ravel(), labels[:, 1:].ravel()])
  apart = one != other
  one, other = one[apart].astype(np.int64), other[apart]
  pair = np.unique(np.minimum(one, other) * regions + np.maximum(one, other))
  return np.stack([pair // regions, pair % regions], 1).astype(np.int32)


def pool(superpixels: Superpixels, values: np.ndarray) -> np.ndarray:
  """Means over the regions [R] of values of the pixels [H, W]."""
  total = np.bincount(superpixels.labels.ravel(), values.ravel())
  return total / superpixels.area
