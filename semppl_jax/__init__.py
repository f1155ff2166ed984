"""Semi-supervised visual representation learning in JAX."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
  import pathlib

  from semppl_jax.labelling.model import Model

__version__ = '0.1.0'


def load(path: str | pathlib.Path) -> Model:
  """Loads a trained network: `.embed(images)`, `.predict(images)`.

  Args:
    path: a run, imported weights, or a file of weights.

  Raises:
    WeightsError: it is not found, or cannot be read.
  """
  from semppl_jax.labelling import model

  return model.load(path)
