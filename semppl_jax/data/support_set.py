"""Sampling of the labelled images in the support batch of each step.

A pure function of (seed, step), independent of the number of processes and of
the first step of a run. It keeps no record of what was shown: over several
steps the images of a class appear equally often only on average.
"""

import functools
import logging
from typing import NamedTuple

from ml_collections import ConfigDict
import numpy as np

from semppl_jax.config.constraints import must
from semppl_jax.data import batch_layout
from semppl_jax.data.dataset import Dataset
from semppl_jax.data.labels import LabelSubset
from semppl_jax.runtime.errors import count_and_names

_log = logging.getLogger(__name__)
_STREAM = 3  # `batch_layout.streams` uses 0 to 2.


class SupportSampler:
  """Sampler of support images, S = classes x images per class of each step."""

  def __init__(
    self, images: list[np.ndarray], classes: int, per_class: int, seed: int
  ) -> None:
    """Stores the parameters of the distribution.

    Args:
      images: positions of the labelled images of each class, int [n].
      classes: distinct classes of a step, at most `len(images)`.
      per_class: images of each of them.
      seed: seed of the run.
    """
    self._images = images
    self._classes = classes
    self._per_class = per_class
    self._seed = seed
    # The images are read some steps before their labels are looked up.
    self._cached = functools.lru_cache(maxsize=64)(self._draw)

  def at(self, step: int) -> np.ndarray:
    """Returns the images of one step, ordered by class, int32 [S]."""
    return self._cached(step)

  def columns(self, slots: np.ndarray) -> np.ndarray:
    """Returns the position of the class of each slot in the support batch."""
    return slots // self._per_class

  def _draw(self, step: int) -> np.ndarray:
    rng = np.random.default_rng([self._seed, _STREAM, step])
    classes = rng.choice(len(self._images), self._classes, replace=False)
    # A class with too few images repeats them, from the first on.
    rows = [
      np.resize(rng.permutation(self._images[c]), self._per_class)
      for c in classes
    ]
    return np.concatenate(rows).astype(np.int32)


class SupportRows(NamedTuple):
  """Part of the support batches that one process loads.

  Attributes:
    sampler: the image of each slot; a slot is a row of the support batch.
    stream: the slots, as blocks.
    share: the slots of this process.
  """

  sampler: SupportSampler
  stream: batch_layout.Stream
  share: batch_layout.Share


def support_rows(
  config: ConfigDict,
  train: Dataset,
  subset: LabelSubset,
  process_index: int,
  process_count: int,
) -> SupportRows:
  """Lays out the support batches; logs and raises as `class_images`."""
  images = class_images(config, train, subset, process_count)
  classes, per_class = _counts(config)
  positions = np.arange(classes * per_class)
  stream = batch_layout.Stream(subset.index, positions, _STREAM)
  own = batch_layout.process_rows(stream.rows, process_index, process_count)
  return SupportRows(
    SupportSampler(images, classes, per_class, config.seed),
    stream,
    batch_layout.share(stream, own),
  )


def class_images(
  config: ConfigDict,
  train: Dataset,
  subset: LabelSubset,
  process_count: int = 1,
) -> list[np.ndarray]:
  """Returns the labelled images of each class that has any, int [n] each.

  Logs a warning for classes with too few images, or too few classes per batch.

  Args:
    config: the whole config.
    train: the train set.
    subset: the labelled images.
    process_count: processes over which support rows are split.

  Raises:
    ValueError: counts of `config.support` that the data or the processes do not
      allow.
  """
  labels = train.labels[subset.index]
  classes = np.unique(labels)
  _check(config, len(classes), process_count)
  images = [subset.index[labels == c] for c in classes]
  names = [train.class_names[c] for c in classes]
  _warn(*_counts(config), names, images)
  return images


def _counts(config: ConfigDict) -> tuple[int, int]:
  return config.support.classes_per_batch, config.support.images_per_class


def _check(config: ConfigDict, available: int, process_count: int) -> None:
  for field in ('classes_per_batch', 'images_per_class', 'views'):
    if config.support[field] < 1:
      raise ValueError(must(config, f'support.{field}', 'be at least 1'))
  classes, per_class = _counts(config)
  if classes > available:
    rule = f'be at most the {available} classes that have labelled images'
    raise ValueError(must(config, 'support.classes_per_batch', rule))
  rows = classes * per_class
  if rows % process_count:
    raise ValueError(
      f'config.support gives {classes} classes x {per_class} images = {rows} '
      f'rows, which must be a multiple of the {process_count} processes.'
    )


def _warn(
  classes: int, per_class: int, names: list[str], images: list[np.ndarray]
) -> None:
  short = [
    f'{name} ({len(own)})'
    for name, own in zip(names, images, strict=True)
    if len(own) < per_class
  ]
  if short:
    _log.warning(
      'config.support.images_per_class=%d exceeds the labelled images of %s; '
      'a support batch repeats them.',
      per_class,
      count_and_names('class(es)', short),
    )
  if 2 * classes < len(names):
    _log.warning(
      'A support batch has %d of the %d classes; unlabelled images of the '
      'other classes are compared with these alone.',
      classes,
      len(names),
    )
