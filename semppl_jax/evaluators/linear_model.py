"""Linear classifiers of frozen features: standardization and input checks."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from jaxtyping import Float, Float32, Float64, Int
import numpy as np

# Logit of a class without a fitted image: below all others, and finite so that
# a softmax is defined.
ABSENT = -1e9
# Rows that are converted to float64 at once.
_ROWS = 8192


class Classifier(NamedTuple):
  """A linear classifier.

  Attributes:
    weight: [F, C], float32.
    bias: [C], float32.
  """

  weight: Float32[np.ndarray, 'F C']
  bias: Float32[np.ndarray, 'C']

  def logits(
    self, features: Float[np.ndarray, 'n F']
  ) -> Float[np.ndarray, 'n C']:
    """Returns the logits [n, C] of features [n, F]."""
    return features @ self.weight + self.bias[None, :]


class Standard(NamedTuple):
  """Standardization of each feature over the images that are fitted.

  The effect of one regularizer is then independent of the scale of features.

  Attributes:
    mean: [F], float64.
    deviation: [F], float64; 1 where a feature is constant up to rounding.
  """

  mean: Float64[np.ndarray, 'F']
  deviation: Float64[np.ndarray, 'F']

  def apply(
    self, features: Float[np.ndarray, 'n F']
  ) -> Float64[np.ndarray, 'n F']:
    """Returns standardized features [n, F], float64."""
    return (features - self.mean[None, :]) / self.deviation[None, :]

  def classifier(
    self,
    weight: Float[np.ndarray, 'F P'],
    bias: Float[np.ndarray, 'P'],
    present: Int[np.ndarray, 'P'],
    classes: int,
  ) -> Classifier:
    """Folds the standardization into weights of standardized features.

    Args:
      weight: [F, P], of the classes with images.
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


def standard(features: Float[np.ndarray, 'n F']) -> Standard:
  """Returns the standardization of features [n, F], in bounded memory."""
  mean = features.mean(axis=0, dtype=np.float64)
  variance = np.zeros_like(mean)
  for part in blocks(len(features)):
    variance += np.square(features[part] - mean[None, :]).sum(axis=0)
  deviation = np.sqrt(variance / len(features))
  # Rounding noise of a constant feature must not be scaled up.
  constant = deviation <= np.finfo(np.float32).eps * np.abs(mean)
  return Standard(mean, np.where(constant, 1.0, deviation))


def blocks(rows: int) -> Iterator[slice]:
  """Yields slices of `rows` small enough for float64."""
  for start in range(0, rows, _ROWS):
    yield slice(start, start + _ROWS)


def check_classes(label: Int[np.ndarray, 'n'], classes: int) -> None:
  """Raises a ValueError if a label is not below C."""
  if label.max(initial=-1) >= classes:
    raise ValueError(
      f'Labels must be < {classes}, the number of classes, got {label.max()}.'
    )


def check_regularizers(regularizers: Sequence[float]) -> None:
  """Raises a ValueError if there is no regularizer, or one that is not > 0."""
  if not len(regularizers) or not min(regularizers) > 0:
    raise ValueError(
      'Regularizers must be one or more numbers > 0, got'
      f' {tuple(regularizers)}.'
    )


def labelled(
  features: Float[np.ndarray, 'n F'], label: Int[np.ndarray, 'n'], classes: int
) -> tuple[Float[np.ndarray, 'm F'], Int[np.ndarray, 'm']]:
  """Returns features and labels of the labelled images.

  Args:
    features: [n, F].
    label: classes [n], int32, or -1.
    classes: C.

  Raises:
    ValueError: a label that is not below C, or fewer than two classes.
  """
  check_classes(label, classes)
  known = label >= 0
  present = len(np.unique(label[known]))
  if present < 2:
    raise ValueError(
      'A classifier needs labelled images of two or more classes, got'
      f' {present}.'
    )
  # Without a copy if possible: ImageNet's features fill the memory once.
  return (features, label) if known.all() else (features[known], label[known])
