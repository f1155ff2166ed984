"""Which labelled images the support batch of a step shows.

A pure function of (seed, step), whatever the number of processes and the step
that a run began at. So it keeps no account of what it has shown: over several
steps the images of a class come up equally often in the mean alone.
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
_STREAM = 3  # Those of `batch_layout.streams` are 0 to 2.


class Draw:
  """The support images of every step, S = classes x each of them."""

  def __init__(
    self, images: list[np.ndarray], classes: int, each: int, seed: int
  ) -> None:
    """Keeps what the draw depends on.

    Args:
      images: positions of the labelled images of each class, int [n].
      classes: distinct classes of a step, at most as many as there are.
      each: images of each of them.
      seed: seed of the run.
    """
    self._images = images
    self._classes = classes
    self._each = each
    self._seed = seed
    # The images are read some steps before their labels are looked up.
    self._drawn = functools.lru_cache(maxsize=64)(self._draw)

  def at(self, step: int) -> np.ndarray:
    """Returns the images of one step, class by class, int32 [S]."""
    return self._drawn(step)

  def columns(self, slots: np.ndarray) -> np.ndarray:
    """Returns the place of the class of each slot among those of the step."""
    return slots // self._each

  def _draw(self, step: int) -> np.ndarray:
    rng = np.random.default_rng([self._seed, _STREAM, step])
    classes = rng.choice(len(self._images), self._classes, replace=False)
    # A class that has too few images shows them again, from the first on.
    rows = [
      np.resize(rng.permutation(self._images[c]), self._each) for c in classes
    ]
    return np.concatenate(rows).astype(np.int32)


class SupportRows(NamedTuple):
  """What one process makes of the support batches.

  Attributes:
    draw: which image each slot shows; a slot is a row of the support batch.
    stream: the slots, as blocks.
    share: the slots of this process.
  """

  draw: Draw
  stream: batch_layout.Stream
  share: batch_layout.Share


def support_rows(
  config: ConfigDict,
  train: Dataset,
  subset: LabelSubset,
  process_index: int,
  process_count: int,
) -> SupportRows:
  """Lays out the support batches; logs what they cannot show.

  Args:
    config: the whole config.
    train: the train set.
    subset: the images that may show their label; no others are drawn.
    process_index: this process.
    process_count: P; must divide S.

  Raises:
    ValueError: counts of `config.support` that the data or the processes do not
      allow.
  """
  images = class_images(config, train, subset, process_count)
  shown, each = _counts(config)
  stream = batch_layout.Stream(subset.index, np.arange(shown * each), _STREAM)
  own = batch_layout.process_rows(stream.rows, process_index, process_count)
  return SupportRows(
    Draw(images, shown, each, config.seed),
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

  Logs what support batches cannot show of them.

  Args:
    config: the whole config.
    train: the train set.
    subset: the images that may show their label.
    process_count: processes that the rows of a support batch are split over.

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


def _check(config: ConfigDict, classes: int, process_count: int) -> None:
  for field in ('classes_per_batch', 'images_per_class', 'views'):
    if config.support[field] < 1:
      raise ValueError(must(config, f'support.{field}', 'be at least 1'))
  shown, each = _counts(config)
  if shown > classes:
    rule = f'be at most the {classes} classes that have labelled images'
    raise ValueError(must(config, 'support.classes_per_batch', rule))
  if shown * each % process_count:
    raise ValueError(
      f'config.support gives {shown} classes x {each} images = {shown * each} '
      f'rows, which must be a multiple of the {process_count} processes.'
    )


def _warn(
  shown: int, each: int, names: list[str], images: list[np.ndarray]
) -> None:
  short = [
    f'{name} ({len(own)})'
    for name, own in zip(names, images, strict=True)
    if len(own) < each
  ]
  if short:
    _log.warning(
      'config.support.images_per_class=%d meets %s; a support batch repeats '
      'them.',
      each,
      count_and_names('class(es) with fewer labelled images', short),
    )
  if 2 * shown < len(names):
    _log.warning(
      'A support batch shows %d of the %d classes; an unlabelled image of any '
      'other is compared with these alone.',
      shown,
      len(names),
    )
