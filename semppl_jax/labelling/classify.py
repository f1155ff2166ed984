"""Classes of images, from their features and those of labelled images."""

from collections.abc import Sequence
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
import numpy as np

from semppl_jax.config import loading
from semppl_jax.evaluators import (
  chunked_similarity,
  knn_classifier,
  label_propagation,
  logistic,
  soft_nn,
  sweep,
)
from semppl_jax.evaluators.features import Features
from semppl_jax.evaluators.knn_classifier import Nearest
from semppl_jax.evaluators.linear_model import Standard
from semppl_jax.runtime.errors import InputError

# With fewer labels of a class, unlabelled images are of more use.
_FEW_LABELS = 6
# Of logistic regression on unit features: where few labels can be held out, a
# weak one is a better guess than theirs.
_REGULARIZERS = tuple(10.0**power for power in range(-4, 1))
_WEAK = 1e-2
_HELD_OUT, _LEAST_HELD_OUT = 0.25, 30
_SOFT_TEMPERATURE, _KNN_TEMPERATURE, _K = 0.1, 0.07, 5


class Labelled(NamedTuple):
  """Labelled images.

  Attributes:
    features: the encoder's [m, F].
    label: classes [m], int32.
    class_names: names of the classes [C].
  """

  features: np.ndarray
  label: np.ndarray
  class_names: tuple[str, ...]


class Predictions(NamedTuple):
  """Classes of n images.

  Attributes:
    class_names: names of the classes [C].
    probability: of each class [n, C], float32; a row sums to 1.
    similarity: largest cosine to a labelled image [n], in [-1, 1], or None
      without labelled images. A low one is unlike anything labelled.
    index: positions of the images in their data set [n], int32.
  """

  class_names: tuple[str, ...]
  probability: np.ndarray
  similarity: np.ndarray | None
  index: np.ndarray

  @property
  def order(self) -> np.ndarray:
    """Classes of each image [n, C], the most probable first."""
    return np.argsort(-self.probability, axis=1, kind='stable')

  @property
  def label(self) -> list[str]:
    """Name of the most probable class of each image, [n]."""
    return [self.class_names[c] for c in self.order[:, 0]]

  @property
  def confidence(self) -> np.ndarray:
    """Probability of the most probable class of each image, [n]."""
    return self.probability.max(axis=1)


def default(labelled: Labelled | None) -> str:
  """Returns the classifier for a whole folder, by the number of labels.

  Where labels are few, propagation is better (`benchmarks/labels_saved.py`).
  """
  if labelled is None:
    return 'classifier'
  few = len(labelled.label) < _FEW_LABELS * len(labelled.class_names)
  return 'propagation' if few else 'logistic'


def check(by: str, classifier: bool, labelled: bool) -> None:
  """Checks the name of a classifier, before any image is read.

  Args:
    by: one of `CLASSIFIERS`, or '' for a default.
    classifier: True if the network has one.
    labelled: True if there are labelled images.

  Raises:
    InputError: it is unknown, or lacks what it needs.
  """
  if by not in ('', *CLASSIFIERS):
    near = loading.nearest(by, CLASSIFIERS)
    hint = f'; did you mean {near!r}?' if near else '.'
    raise InputError(f'--by={by} must be one of {", ".join(CLASSIFIERS)}{hint}')
  if by == 'classifier' and not classifier:
    raise InputError('--by=classifier: the network has no classifier.')
  if not by and not (classifier or labelled):
    raise InputError(
      'The network has no classifier, and no labelled image is given; add'
      ' --labels_file=FILE with labels of some images of the folder.'
    )
  if by not in ('', 'classifier') and not labelled:
    raise InputError(
      f'--by={by} needs labelled images; add --labels_file=FILE.'
    )


def predict(
  features: Features,
  labelled: Labelled | None,
  class_names: Sequence[str],
  by: str,
  mesh: Mesh,
) -> Predictions:
  """Predicts the class of each image.

  Args:
    features: features of kind `'encoder'`, and `'logits'` for the network's
      classifier.
    labelled: labelled images, or None for the network's classifier.
    class_names: names of the classes of the network's classifier.
    by: one of `CLASSIFIERS`, for which `check` has passed.
    mesh: the devices.
  """
  query = features.values['encoder']
  similarity = None
  if labelled is not None:
    nearest = chunked_similarity.reduce(
      query, labelled.features, labelled.label, Nearest(1), mesh
    )
    similarity = nearest.similarity[:, 0]
  if labelled is None or by == 'classifier':
    logits = features.values['logits']
    names = tuple(class_names) or tuple(map(str, range(logits.shape[1])))
    probability = _softmax(logits)
  else:
    names = labelled.class_names
    probability = _SCORES[by](query, labelled, mesh)
  return Predictions(
    names, probability.astype(np.float32), similarity, features.index
  )


def _softmax(logits: np.ndarray) -> np.ndarray:
  return np.asarray(jax.nn.softmax(jnp.asarray(logits, jnp.float32), axis=1))


def _logistic(query: np.ndarray, labelled: Labelled, mesh: Mesh) -> np.ndarray:
  """Logistic regression on unit features.

  The deviations of a few labelled images say little of each feature, so that
  unit length serves better here than standardization.
  """
  from sklearn.preprocessing import normalize

  del mesh
  support = normalize(labelled.features)
  size = support.shape[1]
  part = sweep.split(labelled.label, _HELD_OUT, 0)
  swept = sweep.sweep(
    functools.partial(
      logistic.path,
      classes=len(labelled.class_names),
      standard=Standard(np.zeros(size), np.ones(size)),
    ),
    support,
    labelled.label,
    _REGULARIZERS if len(part.held_out) >= _LEAST_HELD_OUT else (_WEAK,),
    part,
  )
  return _softmax(swept.classifier.logits(normalize(query)))


def _propagation(
  query: np.ndarray, labelled: Labelled, mesh: Mesh
) -> np.ndarray:
  del mesh
  return label_propagation.scores(
    query, labelled.features, labelled.label, len(labelled.class_names)
  )


def _soft_nn(query: np.ndarray, labelled: Labelled, mesh: Mesh) -> np.ndarray:
  return soft_nn.scores(
    query,
    labelled.features,
    labelled.label,
    len(labelled.class_names),
    _SOFT_TEMPERATURE,
    mesh,
  )


def _knn(query: np.ndarray, labelled: Labelled, mesh: Mesh) -> np.ndarray:
  votes = knn_classifier.scores(
    query,
    labelled.features,
    labelled.label,
    len(labelled.class_names),
    (_K,),
    _KNN_TEMPERATURE,
    mesh,
  )[_K]
  return votes / votes.sum(axis=1, keepdims=True)


_SCORES = {
  'logistic': _logistic,
  'propagation': _propagation,
  'soft_nn': _soft_nn,
  'knn': _knn,
}
CLASSIFIERS = ('classifier', *_SCORES)
