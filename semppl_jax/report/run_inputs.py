"""Data and network of a run, read again for the page.

Images are read one by one, and features are those of a sample that is bounded
by number and by time: a page of ImageNet takes no longer than one of a folder.
"""

from collections.abc import Iterable
import contextlib
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
from semppl_jax.report.run_record import RunRecord
from semppl_jax.runtime import errors, mesh as mesh_lib
from semppl_jax.runtime.errors import InputError

# Images of a forward pass: few until the speed is known.
_BATCH_SIZES = (8, 128)
_MAX_IMAGES = 1024  # Of a sample.
_SLOW_SECONDS = 0.15  # Batches stay small where a small one takes longer.


class RunInputsError(InputError):
  """The data or the weights of a run cannot be used; the message says why."""


class RunInputs(NamedTuple):
  """Data of a run.

  Attributes:
    config: the config of the run.
    reader_config: the same, with `data.backend='device'`, which reads images
      one by one.
    splits: train and test set.
    subset: the images whose label the run may use.
    mesh: one device.
  """

  config: ml_collections.ConfigDict
  reader_config: ml_collections.ConfigDict
  splits: dataset.Splits
  subset: labels.LabelSubset
  mesh: Mesh

  @property
  def labelled(self) -> np.ndarray:
    """True for train images whose label the run may use, bool [n]."""
    labelled = np.zeros(self.splits.train.size, bool)
    labelled[self.subset.index] = True
    return labelled

  def class_name(self, label: int) -> str:
    """Returns the name of a class, or `no label`."""
    names = self.splits.train.class_names
    return names[label] if 0 <= label < len(names) else 'no label'


def load(run: RunRecord) -> RunInputs:
  """Opens the data of a run again.

  Raises:
    RunInputsError: it is not on this machine, or has changed.
  """
  if run.config is None:
    raise RunInputsError('There is no config.json that names the data.')
  config = run.config
  if '://' in config.data.path:
    raise RunInputsError(
      f'The data is in {config.data.path}; images are shown only from data on'
      ' this machine.'
    )
  try:
    present = sample_images.is_local(config.data)
    splits = masks.load(config) if present else None
    subset = labels.select(config.data, splits.train) if splits else None
  # Errors of TensorFlow and its data sets have no common class.
  except Exception as error:
    raise RunInputsError(
      f'The data cannot be read: {errors.first_line(error)}'
    ) from error
  if splits is None or subset is None:
    raise RunInputsError(
      f'The data set {config.data.name!r} is not prepared on this machine.'
    )
  current = {'data': splits.train.fingerprint, 'label_subset': subset.hash}
  if any(
    run.metadata.get(key, value) != value for key, value in current.items()
  ):
    raise RunInputsError(
      'The data has changed since the run: images were added, removed, renamed'
      ' or relabelled.'
    )
  reader_config = loading.copy(config)
  reader_config.data.backend = 'device'
  mesh = mesh_lib.make_mesh(jax.local_devices()[:1])
  return RunInputs(config, reader_config.lock(), splits, subset, mesh)


def weights(run: RunRecord) -> Weights:
  """Reads the network of the newest checkpoint.

  Raises:
    RunInputsError: there is none yet, or it cannot be read.
  """
  directory = str(run.path)
  if '://' in directory:
    raise RunInputsError(
      f'{directory} is not on this machine; copy the run here to see features.'
    )
  try:
    return run_checkpoint_lib.read(pathlib.Path(directory))
  except (ValueError, OSError, KeyError, TypeError) as error:
    raise RunInputsError(errors.first_line(error)) from error


def images(
  inputs: RunInputs, data: Dataset, indices: Iterable[int]
) -> dict[int, np.ndarray]:
  """Returns centre crops by position; unreadable images are left out.

  Args:
    inputs: the data of the run.
    data: one of its splits.
    indices: positions, in any order; those outside of the split are ignored.
  """
  rows = np.unique([row for row in indices if 0 <= row < data.size])
  return {
    int(index): image
    for batch in pipeline.eval_batches(
      inputs.reader_config, data, rows.astype(np.int32), _BATCH_SIZES[0]
    )
    for image, index, valid in zip(
      batch.image, batch.index, batch.valid, strict=True
    )
    if valid
  }


class Embedder:
  """Computes features of samples with the network of a run."""

  def __init__(self, inputs: RunInputs, weights: Weights):
    self._inputs = inputs
    network = make_network(
      weights.network, heads=weights.heads, bn_groups='view'
    )
    self._embed = features_lib.make_embed(
      inputs.config.augment, network, inputs.mesh, ('encoder', 'projection')
    )
    self._trees = jax.device_put(
      (weights.params, weights.net_state), mesh_lib.replicated(inputs.mesh)
    )

  def sample(
    self, data: Dataset, rows: np.ndarray, seconds: float
  ) -> Features | None:
    """Computes features of a random sample of images, as many as time allows.

    Args:
      data: one of the run's splits.
      rows: positions to draw from, at most 1,024 of them.
      seconds: no batch begins after this time, but one is always computed.

    Returns:
      The features, or None if no image can be read.
    """
    left = np.random.default_rng(0).permutation(rows)[:_MAX_IMAGES]
    params, net_state = self._trees
    parts, start, size = [], time.monotonic(), _BATCH_SIZES[0]
    while len(left) and (not parts or time.monotonic() - start < seconds):
      chunk, left = np.sort(left[:size]).astype(np.int32), left[size:]
      chunk_start = time.monotonic()
      padded = next(n for n in _BATCH_SIZES if len(chunk) <= n)
      batches = pipeline.eval_batches(
        self._inputs.reader_config, data, chunk, padded
      )
      with contextlib.suppress(features_lib.UnreadableError):
        features = features_lib.collect(
          batches, self._embed, params, net_state, self._inputs.mesh
        )
        parts.append(features)
      if parts and time.monotonic() - chunk_start < _SLOW_SECONDS:
        size = _BATCH_SIZES[1]
    if not parts:
      return None
    return jax.tree.map(lambda *x: np.concatenate(x), *parts)
