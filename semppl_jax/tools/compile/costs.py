"""What a step's time comes to: epochs, core-hours, and how well it scales."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

IMAGES = 1_281_167  # Of ImageNet's train set.
EPOCHS = 300  # Of the paper's runs.
_MS_PER_HOUR = 3.6e6


class Scaled(NamedTuple):
  """A step on some number of cores.

  Attributes:
    cores: how many.
    batch_size: images per step, over all of them.
    terms_ms: milliseconds of each thing that takes time, all at once.
  """

  cores: int
  batch_size: int
  terms_ms: Mapping[str, float]

  @property
  def ms(self) -> float:
    """Milliseconds of the step: those of the longest term."""
    return max(self.terms_ms.values())

  @property
  def term(self) -> str:
    """Which term is the longest."""
    return longest(self.terms_ms)


def longest(terms_ms: Mapping[str, float]) -> str:
  """Returns the name of the longest term; of equal ones, the first."""
  return max(terms_ms, key=lambda name: terms_ms[name])


def epochs_per_hour(
  step_ms: float, batch_size: int, images: int = IMAGES
) -> float:
  """Returns how often an hour's steps go through the images.

  Args:
    step_ms: milliseconds of a step.
    batch_size: images per step.
    images: of an epoch.
  """
  return _MS_PER_HOUR / step_ms * batch_size / images


def core_hours(
  step_ms: float, batch_size: int, cores: int, epochs: float = EPOCHS
) -> float:
  """Returns the hours of all cores that epochs of ImageNet take.

  Args:
    step_ms: milliseconds of a step.
    batch_size: images per step.
    cores: that work on it.
    epochs: length of the run.
  """
  return cores * epochs / epochs_per_hour(step_ms, batch_size)


def efficiency(step: Scaled, smallest: Scaled) -> float:
  """Returns images per core and second, as a share of those on fewest cores.

  With a fixed global batch it is that of strong scaling, with a fixed batch per
  core that of weak scaling.

  Args:
    step: on any number of cores.
    smallest: on the fewest.
  """
  return _pace(step) / _pace(smallest)


def stops(steps: Sequence[Scaled], least: float = 0.5) -> Scaled | None:
  """Returns the first step whose efficiency is below `least`, if one is.

  Args:
    steps: by number of cores, the fewest first.
    least: share of the first one's images per core and second.
  """
  return next((x for x in steps if efficiency(x, steps[0]) < least), None)


def _pace(step: Scaled) -> float:
  return step.batch_size / step.cores / step.ms
