"""Chooses a regulariser on a part of the labelled images that is held out.

The test set takes no part in it.
"""

from collections.abc import Callable, Iterator, Sequence
import logging
from typing import Any, NamedTuple

import numpy as np

from semppl_jax.evaluators import metrics
from semppl_jax.evaluators.linear_model import check_regularisers, Classifier

_log = logging.getLogger(__name__)

# `(features [n, F], label, regularisers)` to each regulariser, in any order,
# with its classifier.
Path = Callable[
  [np.ndarray, np.ndarray, Sequence[float]],
  Iterator[tuple[float, Classifier]],
]


class Split(NamedTuple):
  """Positions of labelled images, ascending, int64.

  Attributes:
    fit: those to fit on.
    held_out: those to judge by; may be none.
  """

  fit: np.ndarray
  held_out: np.ndarray


class Sweep(NamedTuple):
  """What a sweep chose.

  Attributes:
    classifier: fitted with the chosen regulariser on all labelled images.
    regulariser: the best on the held-out images; of equals, the strongest.
    table: score on the held-out images for each regulariser, ascending;
      empty where there was nothing to choose or nothing to judge by.
  """

  classifier: Classifier
  regulariser: float
  table: dict[float, float]

  def describe(self) -> dict[str, Any]:
    """What was tried and chosen, as JSON holds it."""
    tried = {str(r): score for r, score in self.table.items()}
    return {'tried': tried, 'chosen': self.regulariser}


def split(label: np.ndarray, share: float, seed: int) -> Split:
  """Holds out a share of every class.

  A class with two images or more has one at least on either side; one with a
  single image is fitted on.

  Args:
    label: classes [n], int; images below 0 are on neither side.
    share: share of each class that is held out, in (0, 1).
    seed: of the draw.

  Raises:
    ValueError: a share out of its range.
  """
  if not 0 < share < 1:
    raise ValueError(
      f'The share of labels that is held out must be in (0, 1), got {share}.'
    )
  rng = np.random.default_rng(seed)
  drawn = rng.permutation(len(label))
  order = drawn[np.argsort(label[drawn], kind='stable')]
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
  features: np.ndarray,
  label: np.ndarray,
  regularisers: Sequence[float],
  part: Split,
  score: Callable[[np.ndarray, np.ndarray], float] = metrics.top_k,
) -> Sweep:
  """Fits on one side of a split, judges by the other, and fits on all.

  Args:
    path: fits the classifiers.
    features: [n, F].
    label: classes [n], or whatever else `path` and `score` take, by row.
    regularisers: what to choose from, each > 0; larger is stronger.
    part: the split.
    score: `(logits, label)` of the held-out images to what is to be highest.

  Raises:
    ValueError: no regulariser, or one that is not above 0.
  """
  check_regularisers(features, regularisers)
  table = {}
  if len(regularisers) > 1 and len(part.held_out):
    judged, truth = features[part.held_out], label[part.held_out]
    fitted = path(features[part.fit], label[part.fit], regularisers)
    table = {r: score(c.logits(judged), truth) for r, c in fitted}
  elif len(regularisers) > 1:
    _log.warning(
      'No class has an image to hold out; the strongest of %d regularisers is'
      ' taken.',
      len(regularisers),
    )
  best = max(regularisers, key=lambda r: (table.get(r, 0.0), r))
  ((_, classifier),) = path(features, label, (best,))
  return Sweep(classifier, best, dict(sorted(table.items())))
