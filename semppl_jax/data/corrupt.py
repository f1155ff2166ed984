"""How many images of an epoch may be unreadable."""

import logging

import numpy as np

from semppl_jax.data.dataset import Dataset
from semppl_jax.data.sources.problems import naming

_log = logging.getLogger(__name__)


class CorruptCount:
  """Counts unreadable images and stops a run that has too many.

  An epoch shows each image once, so the unreadable share of an epoch is that
  of the distinct images. With several processes, give every process the
  indices of all of them, or each counts its own alone.
  """

  def __init__(self, train: Dataset, limit: float) -> None:
    """Starts at none.

    Args:
      train: the train set.
      limit: share of its images that may be unreadable, in [0, 1].
    """
    self._train = train
    self._limit = limit
    self._seen: dict[int, None] = {}

  @property
  def count(self) -> int:
    """Distinct unreadable images so far."""
    return len(self._seen)

  def add(self, indices: np.ndarray) -> None:
    """Adds positions in the train set, int [n]; logs each image once.

    Raises:
      ValueError: more than the allowed share is unreadable.
    """
    for index in np.asarray(indices).tolist():
      if index not in self._seen:
        self._seen[index] = None
        _log.warning('Skipped an unreadable image: %s', self._train.ids[index])
    share = self.count / self._train.size
    if share > self._limit:
      names = [self._train.ids[index] for index in self._seen]
      raise ValueError(
        f'{self._train.name!r} has '
        f'{naming("unreadable image(s)", names)} ({share:.2%} of '
        f'{self._train.size}); config.data.max_corrupt={self._limit} allows '
        f'{self._limit:.2%}.'
      )
