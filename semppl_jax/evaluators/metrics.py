"""What a classification is judged by; unknown labels never count.

Rows with label -1 are left out of every figure. Shares lie in [0, 1].
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from semppl_jax.runtime.errors import count_and_names

SEVERITIES = (1, 2, 3, 4, 5)
# Mean top-1 error of AlexNet over the five severities of each corruption of
# ImageNet-C, by which Hendrycks and Dietterich (arXiv 1903.12261) normalise;
# from the sheet that their repository refers to, as in AugMix's `imagenet.py`.
ALEXNET_ERROR = {
  'gaussian_noise': 0.886428,
  'shot_noise': 0.894468,
  'impulse_noise': 0.922640,
  'defocus_blur': 0.819880,
  'glass_blur': 0.826268,
  'motion_blur': 0.785948,
  'zoom_blur': 0.798360,
  'snow': 0.866816,
  'frost': 0.826572,
  'fog': 0.819324,
  'brightness': 0.564592,
  'contrast': 0.853204,
  'elastic_transform': 0.646056,
  'pixelate': 0.717840,
  'jpeg_compression': 0.606500,
}


class CorruptionError(NamedTuple):
  """How much corruptions harm a classifier.

  Attributes:
    mce: mean over the corruptions of `normalised`; 1 is as bad as the
      reference.
    mean: mean top-1 error over corruptions and severities, not normalised.
    normalised: per corruption, the errors summed over the severities, over
      those of the reference.
  """

  mce: float
  mean: float
  normalised: dict[str, float]


def top_k(scores: np.ndarray, label: np.ndarray, k: int = 1) -> float:
  """Share of images whose class is among the k of the highest scores.

  Of equal scores the lower class stands first; a score that is not a number
  stands behind nothing.

  Args:
    scores: [M, C].
    label: classes [M], int, or -1.
    k: at least 1; from C on every image counts as right.

  Raises:
    ValueError: k below 1, shapes that do not fit, a class that has no score,
      or no known label.
  """
  if k < 1:
    raise ValueError(f'k={k} of a top-k accuracy must be at least 1.')
  return float(np.mean(_hits(*_known(scores, label), k)))


def mean_per_class(scores: np.ndarray, label: np.ndarray) -> float:
  """Mean over the classes that occur of the top-1 accuracy in each.

  Args:
    scores: [M, C].
    label: classes [M], int, or -1.

  Raises:
    ValueError: as `top_k`.
  """
  scores, label = _known(scores, label)
  right = np.bincount(label, _hits(scores, label, 1), scores.shape[1])
  count = np.bincount(label, minlength=scores.shape[1])
  return float(np.mean(right[count > 0] / count[count > 0]))


def average_precision_11(
  scores: np.ndarray,
  positive: np.ndarray,
  ignored: np.ndarray | None = None,
) -> float:
  """Average precision of one class at the recalls 0, 0.1, ..., 1.

  Everingham et al., "The PASCAL visual object classes (VOC) challenge", IJCV
  2010, section 4.2: the mean of the highest precision at any recall from each
  of eleven levels on.

  Args:
    scores: confidence that the image shows the class [M]; of equal ones the
      earlier image stands first.
    positive: whether it does [M], bool.
    ignored: images that neither help nor harm [M], bool; VOC's `difficult`.

  Raises:
    ValueError: no positive image is left.
  """
  scores, positive = np.asarray(scores), np.asarray(positive, bool)
  if ignored is not None:
    kept = ~np.asarray(ignored, bool)
    scores, positive = scores[kept], positive[kept]
  total = int(positive.sum())
  if not total:
    raise ValueError(
      f'An average precision needs a positive image, and there is none among '
      f'the {len(positive)}.'
    )
  found = np.cumsum(positive[np.argsort(-scores, kind='stable')])
  precision = found / np.arange(1, len(found) + 1)
  # In whole numbers: 3 of 10 is a recall of 0.3, which 0.1 * 3 is above.
  levels = [precision[10 * found >= level * total] for level in range(11)]
  return float(np.mean([reached.max() for reached in levels]))


def mean_ap_11(scores: np.ndarray, labels: np.ndarray) -> float:
  """Mean of `average_precision_11` over the classes with a positive image.

  Args:
    scores: [M, C].
    labels: [M, C], 1 where the class is present, 0 where it is not, and -1
      where the pair does not count.

  Raises:
    ValueError: shapes that do not fit, or no positive image of any class.
  """
  scores, labels = np.asarray(scores), np.asarray(labels)
  if scores.ndim != 2 or scores.shape != labels.shape:
    raise ValueError(
      f'Scores {scores.shape} and labels {labels.shape} of a mean average '
      'precision must both be [M, C].'
    )
  present = np.flatnonzero((labels == 1).any(axis=0))
  if not len(present):
    raise ValueError('No image of a mean average precision has a label.')
  return float(
    np.mean(
      [
        average_precision_11(scores[:, c], labels[:, c] == 1, labels[:, c] < 0)
        for c in present
      ]
    )
  )


def mean_corruption_error(
  errors: Mapping[str, Mapping[int, float]],
  reference: Mapping[str, float] | None = None,
) -> CorruptionError:
  """Mean corruption error (mCE), arXiv 1903.12261, section 4.

  Args:
    errors: top-1 error in [0, 1] for each corruption and severity 1 to 5.
    reference: mean error over the severities of the classifier to compare
      with, for the same corruptions; default: AlexNet's.

  Raises:
    ValueError: a corruption or severity is missing, or one too many.
  """
  reference = ALEXNET_ERROR if reference is None else reference
  odd = sorted(set(errors) ^ set(reference))
  odd += [
    f'{name}/{severity}'
    for name in sorted(set(errors) & set(reference))
    for severity in sorted(set(errors[name]) ^ set(SEVERITIES))
  ]
  if odd:
    raise ValueError(
      f'A mean corruption error needs the {len(reference)} corruptions of its '
      f'reference at severities 1 to 5 and no others; it has '
      f'{count_and_names("missing or unknown", odd)}.'
    )
  mean = {name: np.mean(list(errors[name].values())) for name in reference}
  # The sums over five severities and the means have the same ratio.
  normalised = {name: float(mean[name] / reference[name]) for name in reference}
  return CorruptionError(
    mce=float(np.mean(list(normalised.values()))),
    mean=float(np.mean(list(mean.values()))),
    normalised=normalised,
  )


# From scores [M, C] and the labels of a set, by the name of its metric.
BY_NAME: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
  'top1': top_k,
  'mean_per_class': mean_per_class,
  'map11': mean_ap_11,
}


def _known(
  scores: np.ndarray, label: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the rows that have a label."""
  scores, label = np.asarray(scores), np.asarray(label)
  if scores.ndim != 2 or label.shape != scores.shape[:1]:
    raise ValueError(
      f'Scores {scores.shape} of a classification must be [M, C], and its '
      f'labels {label.shape} [M].'
    )
  known = label >= 0
  if not known.any():
    raise ValueError(
      f'None of the {len(label)} images to classify has a known label.'
    )
  if label.max() >= scores.shape[1]:
    raise ValueError(
      f'A label is {label.max()}, and there are scores of '
      f'{scores.shape[1]} classes.'
    )
  if not known.all():
    scores, label = scores[known], label[known]
  return scores, label


def _hits(scores: np.ndarray, label: np.ndarray, k: int) -> np.ndarray:
  """Whether each class is among the k best of its row, bool [M]."""
  own = np.take_along_axis(scores, label[:, None], axis=1)
  later = np.arange(scores.shape[1]) >= label[:, None]
  behind = (scores < own) | ((scores == own) & later)
  return scores.shape[1] - behind.sum(axis=1) < k
