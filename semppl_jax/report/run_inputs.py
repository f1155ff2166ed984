"""The data and the network of a run, as far as a report looks at them.

Images are read one by one, wherever they are, and features are those of a
sample that is bounded by number and by time: a report of ImageNet takes no
longer than one of a folder.
"""

from collections.abc import Iterable
import contextlib
import logging
import pathlib
import time
from typing import NamedTuple

import jax
from jax.sharding import Mesh
import ml_collections
import numpy as np

from semppl_jax.config import loading
from semppl_jax.data import dataset, labels, masks, pipeline
from semppl_jax.data.dataset import Dataset
from semppl_jax.evaluators import features as features_lib
from semppl_jax.evaluators.features import Features
from semppl_jax.exchange import (
  run_checkpoint as run_checkpoint_lib,
  sample_images,
)
from semppl_jax.models.network import make_network
from semppl_jax.models.weights import Weights
from semppl_jax.report.run_record import Course
from semppl_jax.runtime import errors, mesh as mesh_lib
from semppl_jax.runtime.errors import InputError

_log = logging.getLogger(__name__)
# Images that are embedded at once: a few until the pace is known.
_CHUNKS = (8, 128)
_MOST_IMAGES = 1024  # Of a sample.
_SLOW_SECONDS = 0.15  # Where a few take longer, no more are taken at once.


class MaterialError(InputError):
  """The data or the weights of a run are not at hand; a sentence says why."""


class Material(NamedTuple):
  """What a run learned from.

  Attributes:
    config: its config, which reads images one by one.
    own: its config as it was.
    splits: its data.
    subset: the images whose label it knew.
    mesh: one device.
  """

  config: ml_collections.ConfigDict
  own: ml_collections.ConfigDict
  splits: dataset.Splits
  subset: labels.LabelSubset
  mesh: Mesh

  @property
  def known(self) -> np.ndarray:
    """Whether the run may know the label of each train image, bool [n]."""
    known = np.zeros(self.splits.train.size, bool)
    known[self.subset.index] = True
    return known


def load(course: Course) -> Material:
  """Finds the data of a run again.

  Raises:
    MaterialError: it is not at hand, or not the same any more.
  """
  if course.config is None:
    raise MaterialError('There is no config.json that names the data.')
  own = course.config
  if '://' in own.data.path:
    raise MaterialError(
      f'The data is in {own.data.path}, and images are shown of what is on this'
      ' machine alone.'
    )
  try:
    if not sample_images.at_hand(own.data):
      raise MaterialError(
        f'The data set {own.data.name!r} is not prepared on this machine.'
      )
    splits = masks.load(own)
    subset = labels.select(own.data, splits.train)
  except MaterialError:
    raise
  # Errors of TensorFlow and its data sets have no kind in common.
  except Exception as error:
    raise MaterialError(
      f'The data cannot be read: {errors.first_line(error)}'
    ) from error
  now = {'data': splits.train.fingerprint, 'label_subset': subset.hash}
  if any(course.facts.get(name, value) != value for name, value in now.items()):
    raise MaterialError(
      'The data is not what the run learned from any more: images were added,'
      ' removed, renamed or labelled otherwise.'
    )
  config = loading.copy(own)
  config.data.backend = 'device'
  mesh = mesh_lib.make_mesh(jax.local_devices()[:1])
  return Material(config.lock(), own, splits, subset, mesh)


def weights(course: Course) -> Weights:
  """Reads the network of the newest checkpoint.

  Raises:
    MaterialError: there is none yet, or it cannot be read.
  """
  place = str(course.path)
  if '://' in place:
    raise MaterialError(
      f'{place} is no folder of this machine; fetch the run to see features.'
    )
  try:
    return run_checkpoint_lib.read(pathlib.Path(place))
  except (ValueError, OSError, KeyError, TypeError) as error:
    raise MaterialError(errors.first_line(error)) from error


def images(
  material: Material, data: Dataset, wanted: Iterable[int]
) -> dict[int, np.ndarray]:
  """Centre crops of some images by position; unreadable ones are left out.

  Args:
    material: the run's data.
    data: one of its splits.
    wanted: positions, in any order; those that are none are passed over.
  """
  rows = np.unique([row for row in wanted if 0 <= row < data.size])
  found = {}
  for batch in pipeline.eval_batches(
    material.config, data, rows.astype(np.int32), _CHUNKS[0]
  ):
    for image, index, valid in zip(
      batch.image, batch.index, batch.valid, strict=True
    ):
      if valid:
        found[int(index)] = image
  return found


class Embedder:
  """Features of samples, by the network of a run."""

  def __init__(self, material: Material, of: Weights):
    self._material = material
    network = make_network(of.network, heads=of.heads, bn_groups='view')
    self._embed = features_lib.make_embed(
      material.config.augment, network, material.mesh, ('encoder', 'projection')
    )
    self._trees = jax.device_put(
      (of.params, of.net_state), mesh_lib.replicated(material.mesh)
    )

  def sample(
    self,
    data: Dataset,
    rows: np.ndarray,
    seconds: float,
    seed: int = 0,
  ) -> Features | None:
    """Features of as many of some images, drawn evenly, as time allows.

    Args:
      data: one of the run's splits.
      rows: positions in it, at random of which some are taken.
      seconds: after so many no more are begun; a few are made in any case.
      seed: of the draw.

    Returns:
      The features, or None where no image is there or can be read.
    """
    left = np.random.default_rng(seed).permutation(rows)[:_MOST_IMAGES]
    parts, began, size = [], time.monotonic(), _CHUNKS[0]
    while len(left) and (not parts or time.monotonic() - began < seconds):
      chunk, left = np.sort(left[:size]).astype(np.int32), left[size:]
      at = time.monotonic()
      # Of these, none may be readable.
      with contextlib.suppress(features_lib.UnreadableError):
        parts.append(self._features(data, chunk))
      if parts and time.monotonic() - at < _SLOW_SECONDS:
        size = _CHUNKS[1]
    return _joined(parts) if parts else None

  def _features(self, data: Dataset, rows: np.ndarray) -> Features:
    size = next(n for n in _CHUNKS if len(rows) <= n)
    batches = pipeline.eval_batches(self._material.config, data, rows, size)
    params, net_state = self._trees
    return features_lib.collect(
      batches, self._embed, params, net_state, self._material.mesh
    )


def _joined(parts: list[Features]) -> Features:
  return Features(
    {
      kind: np.concatenate([part.values[kind] for part in parts])
      for kind in parts[0].values
    },
    np.concatenate([part.label for part in parts]),
    np.concatenate([part.index for part in parts]),
  )
