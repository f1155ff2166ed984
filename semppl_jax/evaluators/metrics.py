"""Classification metrics in [0, 1]; rows with label -1 do not count."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from jaxtyping import Bool, Float, Int
import numpy as np

from semppl_jax.runtime.errors import count_and_names

Metrics = dict[str, float]

SEVERITIES = (1, 2, 3, 4, 5)
# Mean top-1 error of AlexNet over the five severities of each corruption of
# ImageNet-C, by which Hendrycks and Dietterich (arXiv 1903.12261) normalize;
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
  """Corruption error of a classifier.

  Attributes:
    mce: mean of `normalized` over the corruptions; 1 equals the reference.
    mean: mean top-1 error over corruptions and severities, not normalized.
    normalized: per corruption, the sum of the errors over the severities,
      divided by that of the reference.
  """

  mce: float
  mean: float
  normalized: dict[str, float]


def top_k(
  scores: Float[np.ndarray, 'M C'], label: Int[np.ndarray, 'M'], k: int = 1
) -> float:
  """Returns the share of images whose class has one of the k highest scores.

  Of equal scores the lower class ranks first; NaN is never correct. (This and
  the order of ties are not those of scikit-learn's `top_k_accuracy_score`.)

  Args:
    scores: [M, C].
    label: classes [M], int, or -1.
    k: at least 1; may be above C.

  Raises:
    ValueError: k below 1, a label without a score, or no known label.
  """
  if k < 1:
    raise ValueError(f'k={k} of a top-k accuracy must be at least 1.')
  return float(np.mean(_hits(*_known(scores, label), k)))


def accuracy(
  name: str, scores: Float[np.ndarray, 'M C'], label: Int[np.ndarray, 'M']
) -> Metrics:
  """Returns `<name>/top1`, and `<name>/top5` for more than ten classes."""
  result = {f'{name}/top1': top_k(scores, label, 1)}
  if scores.shape[1] > 10:
    result[f'{name}/top5'] = top_k(scores, label, 5)
  return result


def mean_per_class(
  scores: Float[np.ndarray, 'M C'], label: Int[np.ndarray, 'M']
) -> float:
  """Returns the mean top-1 accuracy over the classes that occur.

  Arguments and errors are those of `top_k`.
  """
  scores, label = _known(scores, label)
  correct = np.bincount(label, _hits(scores, label, 1), scores.shape[1])
  count = np.bincount(label, minlength=scores.shape[1])
  return float(np.mean(correct[count > 0] / count[count > 0]))


def average_precision_11(
  scores: Float[np.ndarray, 'M'],
  positive: Bool[np.ndarray, 'M'],
  ignored: Bool[np.ndarray, 'M'] | None = None,
) -> float:
  """Returns the average precision of one class at recalls 0, 0.1, ..., 1.

  Everingham et al., "The PASCAL visual object classes (VOC) challenge", IJCV
  2010, section 4.2: the mean over eleven recall levels of the maximum precision
  at that recall or a higher one.

  Args:
    scores: of the class [M]; of equal ones the earlier image ranks first.
    positive: True for images of the class [M].
    ignored: True for images that do not count [M]; VOC's `difficult`.

  Raises:
    ValueError: no positive image.
  """
  if ignored is not None:
    scores, positive = scores[~ignored], positive[~ignored]
  total = int(positive.sum())
  if not total:
    raise ValueError(
      f'An average precision needs a positive image, got 0 of {len(positive)}.'
    )
  hits = np.cumsum(positive[np.argsort(-scores, kind='stable')])
  precision = hits / np.arange(1, len(hits) + 1)
  # In integers: 3 of 10 is a recall of 0.3, but 0.1 * 3 is above 0.3.
  levels = [precision[10 * hits >= level * total] for level in range(11)]
  return float(np.mean([reached.max() for reached in levels]))


def mean_ap_11(
  scores: Float[np.ndarray, 'M C'], labels: Int[np.ndarray, 'M C']
) -> float:
  """Returns the mean average precision over classes with a positive image.

  Args:
    scores: [M, C].
    labels: [M, C], 1 where the class is present, 0 where it is not, and -1
      where the pair does not count.

  Raises:
    ValueError: no positive image of any class.
  """
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
  """Returns the mean corruption error (mCE), arXiv 1903.12261, section 4.

  Args:
    errors: top-1 error in [0, 1] for each corruption and severity 1 to 5.
    reference: mean error of the reference classifier over the severities, for
      the same corruptions; default: AlexNet's.

  Raises:
    ValueError: a corruption or severity is missing or unknown.
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
      'reference at severities 1 to 5, got '
      f'{count_and_names("missing or unknown", odd)}.'
    )
  mean = {name: np.mean(list(errors[name].values())) for name in reference}
  # The sums over five severities and the means have the same ratio.
  normalized = {name: float(mean[name] / reference[name]) for name in reference}
  return CorruptionError(
    mce=float(np.mean(list(normalized.values()))),
    mean=float(np.mean(list(mean.values()))),
    normalized=normalized,
  )


# `(scores [M, C], labels) -> metric`, by name.
BY_NAME: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
  'top1': top_k,
  'mean_per_class': mean_per_class,
  'map11': mean_ap_11,
}


def _known(
  scores: np.ndarray, label: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the labelled rows."""
  known = label >= 0
  if not known.any():
    raise ValueError(
      f'None of the {len(label)} images to classify has a label.'
    )
  if label.max() >= scores.shape[1]:
    raise ValueError(
      f'Labels must be < {scores.shape[1]}, the number of classes, got'
      f' {label.max()}.'
    )
  return scores[known], label[known]


def _hits(scores: np.ndarray, label: np.ndarray, k: int) -> np.ndarray:
  """Returns True where the class has one of the k highest scores, bool [M]."""
  own = np.take_along_axis(scores, label[:, None], axis=1)
  later = np.arange(scores.shape[1]) >= label[:, None]
  behind = (scores < own) | ((scores == own) & later)
  return scores.shape[1] - behind.sum(axis=1) < k
