"""Linear classifiers of frozen features, and what those fitted here share."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

# Logit of a class that had no image to fit: below every other, and finite so
# that a softmax stays one.
ABSENT = -1e9
# Rows that are taken to float64 at once.
_ROWS = 8192


class Classifier(NamedTuple):
  """A linear classifier.

  Attributes:
    weight: [F, C], float32.
    bias: [C], float32.
  """

  weight: np.ndarray
  bias: np.ndarray

  def logits(self, features: np.ndarray) -> np.ndarray:
    """Returns the logits [n, C] of features [n, F]."""
    return features @ self.weight + self.bias[None, :]


class Standard(NamedTuple):
  """Brings every feature to mean 0 and deviation 1 over the images fitted.

  One regulariser then means the same for features of any scale.

  Attributes:
    mean: [F], float64.
    deviation: [F], float64; 1 where a feature is constant up to rounding.
  """

  mean: np.ndarray
  deviation: np.ndarray

  def apply(self, features: np.ndarray) -> np.ndarray:
    """Returns standardised features [n, F], float64."""
    return (features - self.mean[None, :]) / self.deviation[None, :]

  def classifier(
    self,
    weight: np.ndarray,
    bias: np.ndarray,
    present: np.ndarray,
    classes: int,
  ) -> Classifier:
    """Folds the standardising into what was fitted on standardised features.

    Args:
      weight: [F, P], of the classes that had images.
      bias: [P].
      present: those classes [P].
      classes: C; the other classes get a weight of 0 and a bias of `ABSENT`.
    """
    scaled = weight / self.deviation[:, None]
    wide = Classifier(
      np.zeros((len(scaled), classes), np.float32),
      np.full(classes, ABSENT, np.float32),
    )
    wide.weight[:, present] = scaled
    wide.bias[present] = bias - self.mean @ scaled
    return wide


def standard(features: np.ndarray) -> Standard:
  """Returns the standardising of features [n, F], in bounded memory."""
  mean = features.mean(axis=0, dtype=np.float64)
  variance = np.zeros_like(mean)
  for part in blocks(len(features)):
    variance += np.square(features[part] - mean[None, :]).sum(axis=0)
  deviation = np.sqrt(variance / len(features))
  # The last digit of a constant feature must not be made a feature.
  constant = deviation <= np.finfo(np.float32).eps * np.abs(mean)
  return Standard(mean, np.where(constant, 1.0, deviation))


def blocks(rows: int) -> Iterator[slice]:
  """Cuts `rows` into parts small enough for float64."""
  for start in range(0, rows, _ROWS):
    yield slice(start, start + _ROWS)


def check_classes(label: np.ndarray, classes: int) -> None:
  """Sees that labels are classes.

  Raises:
    ValueError: a label is not below C.
  """
  if label.max(initial=-1) >= classes:
    raise ValueError(
      f'Labels must be < {classes}, the number of classes, got {label.max()}.'
    )


def check_regularisers(features: np.ndarray, regularisers) -> None:
  """Sees that features are a table of images, and regularisers positive.

  Raises:
    ValueError: they are not.
  """
  if features.ndim != 2:
    raise ValueError(
      f'Features to classify must be [n, F], got {features.shape}.'
    )
  if not len(regularisers) or not min(regularisers) > 0:
    raise ValueError(
      'Regularisers must be one or more numbers > 0, got'
      f' {tuple(regularisers)}.'
    )


def labelled(
  features: np.ndarray, label: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray]:
  """Leaves out the images without a label.

  Args:
    features: [n, F].
    label: classes [n], int32, or -1.
    classes: C.

  Raises:
    ValueError: labels that do not fit, or of fewer than two classes.
  """
  if label.shape != features.shape[:1]:
    raise ValueError(
      f'{len(features)} images to fit need one label each, got labels of shape'
      f' {label.shape}.'
    )
  check_classes(label, classes)
  known = label >= 0
  found = len(np.unique(label[known]))
  if found < 2:
    raise ValueError(
      f'A classifier needs labelled images of two or more classes, got {found}.'
    )
  # All of ImageNet would not fit twice.
  return (features, label) if known.all() else (features[known], label[known])
