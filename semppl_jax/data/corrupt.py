"""Limit on the unreadable images of an epoch."""

import logging

import numpy as np

from semppl_jax.data.dataset import Dataset
from semppl_jax.runtime.errors import count_and_names

_log = logging.getLogger(__name__)


class CorruptCount:
  """Counts unreadable images and stops a run that has too many.

  An epoch shows each image once, so the unreadable share of an epoch is that
  of the distinct images. Each process counts its own; `check` takes the sum.
  """

  def __init__(self, train: Dataset, limit: float) -> None:
    """Starts at zero.

    Args:
      train: the train set.
      limit: share of its images that may be unreadable, in [0, 1].
    """
    self._train = train
    self._limit = limit
    self._epoch: dict[int, None] = {}
    self._logged: set[int] = set()

  def start_epoch(self) -> None:
    """Restarts at zero; an image is still logged only once."""
    self._epoch = {}

  @property
  def count(self) -> int:
    """Distinct unreadable images of the epoch."""
    return len(self._epoch)

  def add(self, indices: np.ndarray) -> None:
    """Adds positions in the train set, int [n]; logs each image once.

    Raises:
      ValueError: more than the allowed share is unreadable.
    """
    for index in np.asarray(indices).tolist():
      self._epoch[index] = None
      if index not in self._logged:
        self._logged.add(index)
        _log.warning('Skipped an unreadable image: %s', self._train.ids[index])
    self.check(self.count)

  def check(self, total: int) -> None:
    """Compares the number of images of all processes with the limit.

    Raises:
      ValueError: more than the allowed share is unreadable.
    """
    share = total / self._train.size
    if share > self._limit:
      # A copy first: the thread that reads the input may add to it meanwhile.
      names = [self._train.ids[index] for index in list(self._epoch)]
      here = '' if total == len(names) else f' here and {total} in all'
      images = count_and_names(f'unreadable image(s){here}', names)
      raise ValueError(
        f'{self._train.name!r} has {images} ({share:.2%} of {self._train.size})'
        f'; config.data.max_corrupt={self._limit} allows {self._limit:.2%}.'
      )
