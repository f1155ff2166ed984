"""Selection of a regularizer on held-out labelled images."""

from collections.abc import Callable, Iterator, Sequence
import logging
from typing import NamedTuple

from jaxtyping import Float, Int, Shaped
import numpy as np

from semppl_jax.evaluators import metrics
from semppl_jax.evaluators.linear_model import check_regularizers, Classifier

_log = logging.getLogger(__name__)

# `(features [n, F], label, regularizers)` to each regularizer, in any order,
# with its classifier.
Path = Callable[
  [np.ndarray, np.ndarray, Sequence[float]],
  Iterator[tuple[float, Classifier]],
]


class Split(NamedTuple):
  """Positions of labelled images, ascending, int64.

  Attributes:
    fit: images to fit on.
    held_out: images to select by; may be empty.
  """

  fit: Int[np.ndarray, 'f']
  held_out: Int[np.ndarray, 'h']


class Sweep(NamedTuple):
  """Result of a sweep.

  Attributes:
    classifier: fitted with the selected regularizer on all labelled images.
    regularizer: the best on the held-out images; of equals, the strongest.
    table: score on the held-out images for each regularizer, ascending;
      empty with one regularizer or without held-out images.
  """

  classifier: Classifier
  regularizer: float
  table: dict[float, float]

  def describe(self) -> dict[str, dict[str, float] | float]:
    """Returns the scores and the selected regularizer, for JSON."""
    tried = {str(r): score for r, score in self.table.items()}
    return {'tried': tried, 'chosen': self.regularizer}


def split(label: Int[np.ndarray, 'n'], share: float, seed: int) -> Split:
  """Holds out a share of every class.

  A class with two or more images has at least one in each part; a single image
  is fitted on.

  Args:
    label: classes [n], int; images below 0 are in neither part.
    share: held-out share of each class, in (0, 1).
    seed: of the random selection.

  Raises:
    ValueError: a share outside its range.
  """
  if not 0 < share < 1:
    raise ValueError(
      f'The share of labels that is held out must be in (0, 1), got {share}.'
    )
  rng = np.random.default_rng(seed)
  shuffled = rng.permutation(len(label))
  order = shuffled[np.argsort(label[shuffled], kind='stable')]
  ordered = label[order]
  order, ordered = order[ordered >= 0], ordered[ordered >= 0]
  _, first, inverse, size = np.unique(
    ordered, return_index=True, return_inverse=True, return_counts=True
  )
  wanted = np.rint(share * size).astype(int)
  count = np.minimum(np.maximum(wanted, 1), size - 1)
  held = np.arange(len(order)) - first[inverse] < count[inverse]
  return Split(np.sort(order[~held]), np.sort(order[held]))


def sweep(
  path: Path,
  features: Float[np.ndarray, 'n F'],
  label: Shaped[np.ndarray, 'n ...'],
  regularizers: Sequence[float],
  part: Split,
  score: Callable[[np.ndarray, np.ndarray], float] = metrics.top_k,
) -> Sweep:
  """Fits on one part of a split, selects by the other, and refits on both.

  Args:
    path: fits the classifiers.
    features: [n, F].
    label: classes [n] or other labels [n, ...] that `path` and `score` take.
    regularizers: candidates, each > 0; larger is stronger.
    part: the split.
    score: `(logits, label)` of the held-out images to the score to maximize.

  Raises:
    ValueError: no regularizer, or one that is not above 0.
  """
  check_regularizers(regularizers)
  table = {}
  if len(regularizers) > 1 and len(part.held_out):
    held, held_label = features[part.held_out], label[part.held_out]
    fitted = path(features[part.fit], label[part.fit], regularizers)
    table = {r: score(c.logits(held), held_label) for r, c in fitted}
  elif len(regularizers) > 1:
    _log.warning(
      'No class has an image to hold out; the strongest of %d regularizers is'
      ' taken.',
      len(regularizers),
    )
  best = max(regularizers, key=lambda r: (table.get(r, 0.0), r))
  ((_, classifier),) = path(features, label, (best,))
  return Sweep(classifier, best, dict(sorted(table.items())))
