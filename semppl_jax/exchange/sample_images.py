"""Sample images to compare networks on, from the data of the run or noise."""

import pathlib

import ml_collections
import numpy as np

from semppl_jax.config import loading
from semppl_jax.data import dataset, pipeline
from semppl_jax.data.sources import tfds_numpy
from semppl_jax.models.weights import Preprocessing, Weights, WeightsError

_BATCH = 8


def data_config(weights: Weights) -> ml_collections.ConfigDict:
  """Returns the config of the run, with the preprocessing of the weights.

  Raises:
    WeightsError: the weights are not from a run.
  """
  if weights.config is None:
    raise WeightsError(
      f'{weights.origin} is not from a run and has no data; add --config=FILE'
      ' with the fields of data.'
    )
  return with_preprocessing(loading.copy(weights.config), weights.preprocessing)


def with_preprocessing(
  config: ml_collections.ConfigDict, preprocessing: Preprocessing
) -> ml_collections.ConfigDict:
  """Sets the fields of a config that prepare the images of an evaluation."""
  resize, crop, interpolation, mean, std = preprocessing
  config.eval.update(resize=resize, crop=crop)
  config.views.interpolation = interpolation
  config.augment.update(mean=mean, std=std)
  return config


def sample(weights: Weights, count: int) -> tuple[np.ndarray, str]:
  """Returns images of the run's data, or noise where it is not on the disk.

  Args:
    weights: the network that takes the images.
    count: number, evenly spaced in the test set (else the train set).

  Returns:
    uint8 [count or fewer, crop, crop, 3], and a description.
  """
  try:
    config = data_config(weights)
    if is_local(config.data):
      images, name = _of_run(config, count)
      return images, f'{len(images)} images of {name}'
  except (ValueError, OSError):
    pass  # Noise distinguishes networks as well.
  crop = weights.preprocessing.crop
  rng = np.random.default_rng(0)
  noise = rng.integers(0, 256, (count, crop, crop, 3), dtype=np.uint8)
  return noise, f'{count} images of noise'


def is_local(data: ml_collections.ConfigDict) -> bool:
  """Returns False for a set that tensorflow_datasets would download first."""
  if data.kind != 'tfds':
    return True
  place = tfds_numpy.prepared_dir(data.path)
  folder = pathlib.Path(place)
  # A bucket is not checked.
  return (
    '://' in place or (folder / data.name.split('/')[0].split(':')[0]).is_dir()
  )


def _of_run(
  config: ml_collections.ConfigDict, count: int
) -> tuple[np.ndarray, str]:
  splits = dataset.load(config.data)
  data = splits.test or splits.train
  rows = np.unique(np.linspace(0, data.size - 1, count).astype(np.int32))
  batches = pipeline.eval_batches(config, data, rows, _BATCH)
  images = np.concatenate([batch.image[batch.valid] for batch in batches])
  if not len(images):
    raise ValueError(f'No image of {data.name} can be read.')
  return images, data.name
