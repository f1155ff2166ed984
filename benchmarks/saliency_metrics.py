"""Metrics of saliency maps against masks.

Achanta et al., "Frequency-tuned salient region detection", CVPR 2009, and
Borji et al., "Salient object detection: a benchmark", TIP 2015.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

# Achanta et al.'s: precision counts more than recall.
BETA_SQUARED = 0.3
# A map is cut at every level of a byte.
LEVELS = 256


class Curve(NamedTuple):
  """Precision and recall at 256 thresholds.

  Attributes:
    precision: [256], in [0, 1]; 0 where a map has nothing at or above the
      threshold.
    recall: [256], in [0, 1]; 1 at the first threshold, which keeps all.
  """

  precision: np.ndarray
  recall: np.ndarray


class Score(NamedTuple):
  """Agreement of the maps of a set of images with their masks.

  Attributes:
    max_f: the greatest F-measure on the mean curve, in [0, 1].
    error: mean absolute error, averaged over images, in [0, 1].
    images: their number.
  """

  max_f: float
  error: float
  images: int


def curve(saliency: np.ndarray, truth: np.ndarray) -> Curve:
  """Precision and recall of a map, rounded to bytes and cut at 0, 1, ..., 255.

  Args:
    saliency: [H, W], in [0, 1].
    truth: [H, W], bool; true somewhere.

  Raises:
    ValueError: another shape or range, or a mask without a pixel.
  """
  _check(saliency, truth)
  level = np.rint(saliency * (LEVELS - 1)).astype(np.int64)
  hits = _at_or_above(level[truth])
  kept = _at_or_above(level)
  return Curve(hits / np.maximum(kept, 1), hits / hits[0])


def _at_or_above(level: np.ndarray) -> np.ndarray:
  count = np.bincount(level.ravel(), minlength=LEVELS)
  return np.cumsum(count[::-1])[::-1]


def max_f_measure(found: Curve, beta_squared: float = BETA_SQUARED) -> float:
  """The greatest of (1 + β²) P R / (β² P + R) on a curve, in [0, 1]."""
  precision, recall = found
  below = beta_squared * precision + recall
  above = (1 + beta_squared) * precision * recall
  return float(np.max(above / np.where(below > 0, below, 1)))


def absolute_error(saliency: np.ndarray, truth: np.ndarray) -> float:
  """Mean of |saliency - truth| over the pixels, in [0, 1].

  Args:
    saliency: [H, W], in [0, 1].
    truth: [H, W], bool.

  Raises:
    ValueError: as `curve`.
  """
  _check(saliency, truth)
  return float(np.mean(np.abs(saliency - truth, dtype=np.float64)))


def score(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Score:
  """Judges maps of a set: the F-measure is that of the mean curve.

  So one threshold has to suit all images, and each image counts the same.

  Args:
    pairs: of a map [H, W] in [0, 1] and a mask [H, W] of bool.

  Raises:
    ValueError: as `curve`, or no pair.
  """
  curves, errors = [], []
  for saliency, truth in pairs:
    curves.append(curve(saliency, truth))
    errors.append(absolute_error(saliency, truth))
  if not curves:
    raise ValueError('Saliency is judged on at least one image, got none.')
  mean = Curve(*(np.mean(part, axis=0) for part in zip(*curves, strict=True)))
  return Score(max_f_measure(mean), float(np.mean(errors)), len(errors))


def _check(saliency: np.ndarray, truth: np.ndarray) -> None:
  if truth.dtype != bool or truth.ndim != 2 or saliency.shape != truth.shape:
    raise ValueError(
      f'A saliency map {list(saliency.shape)} needs a mask [H, W] of bool of '
      f'its size, got {list(truth.shape)} of {truth.dtype}.'
    )
  if not truth.any():
    raise ValueError('A mask to judge saliency by has no pixel that is true.')
  if not (saliency.min() >= 0 and saliency.max() <= 1):
    raise ValueError(
      f'A saliency map must be in [0, 1], got {saliency.min()} to '
      f'{saliency.max()}.'
    )
