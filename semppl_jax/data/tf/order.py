"""In which order a stream shows the images of a set of files."""

import functools

import numpy as np


class Order:
  """Endless epochs, each a new permutation; any step at no cost."""

  def __init__(
    self, population: np.ndarray, rows: int, seed: int, stream: int
  ) -> None:
    """Keeps what the order depends on.

    Args:
      population: positions of the images, int32 [n].
      rows: images per step.
      seed: seed of the run.
      stream: number of the stream, so that two do not share an order.
    """
    self._population = population
    self._rows = rows
    self._seed = (seed, stream)
    self._permuted = functools.lru_cache(maxsize=2)(self._permute)

  def at(self, step: int) -> np.ndarray:
    """Returns the images of one step, int32 [rows]."""
    size = len(self._population)
    places = np.arange(step * self._rows, (step + 1) * self._rows)
    epochs = places // size
    images = [
      self._permuted(int(epoch))[places[epochs == epoch] % size]
      for epoch in np.unique(epochs)
    ]
    return np.concatenate(images)

  def _permute(self, epoch: int) -> np.ndarray:
    rng = np.random.default_rng([*self._seed, epoch])
    return rng.permutation(self._population)
