"""How many images of an epoch may be unreadable."""

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
    """Starts at none.

    Args:
      train: the train set.
      limit: share of its images that may be unreadable, in [0, 1].
    """
    self._train = train
    self._limit = limit
    self._seen: dict[int, None] = {}
    self._named: set[int] = set()

  def start_epoch(self) -> None:
    """Counts from none again; an image is still named only once."""
    self._seen = {}

  @property
  def count(self) -> int:
    """Distinct unreadable images of the epoch."""
    return len(self._seen)

  def add(self, indices: np.ndarray) -> None:
    """Adds positions in the train set, int [n]; logs each image once.

    Raises:
      ValueError: more than the allowed share is unreadable.
    """
    for index in np.asarray(indices).tolist():
      self._seen[index] = None
      if index not in self._named:
        self._named.add(index)
        _log.warning('Skipped an unreadable image: %s', self._train.ids[index])
    self.check(self.count)

  def check(self, total: int) -> None:
    """Compares the images of all processes with the limit.

    Raises:
      ValueError: more than the allowed share is unreadable.
    """
    share = total / self._train.size
    if share > self._limit:
      # A copy first: the thread that reads the input may add to it meanwhile.
      names = [self._train.ids[index] for index in list(self._seen)]
      here = '' if total == len(names) else f' here and {total} in all'
      raise ValueError(
        f'{self._train.name!r} has '
        f'{count_and_names(f"unreadable image(s){here}", names)} ({share:.2%} of '
        f'{self._train.size}); config.data.max_corrupt={self._limit} allows '
        f'{self._limit:.2%}.'
      )
