"""The data of the run that weights are from, prepared as they need it."""

import pathlib

import ml_collections
import numpy as np

from semppl_jax.config import loading
from semppl_jax.data import dataset, pipeline
from semppl_jax.data.sources import tfds_numpy
from semppl_jax.models.weights import Weights, WeightsError

_BATCH = 8


def config_of(weights: Weights) -> ml_collections.ConfigDict:
  """The run's config, with the preprocessing of the weights.

  Raises:
    WeightsError: the weights are from no run.
  """
  if weights.config is None:
    raise WeightsError(
      f'{weights.origin} is from no run and names no data; give --config=FILE'
      ' with the fields of data.'
    )
  config = loading.copy(weights.config)
  resize, crop, interpolation, mean, std = weights.preprocessing
  config.eval.update(resize=resize, crop=crop)
  config.views.interpolation = interpolation
  config.augment.update(mean=mean, std=std)
  return config


def sample(weights: Weights, count: int) -> tuple[np.ndarray, str]:
  """Images to compare networks on: of the run's data, or noise.

  Args:
    weights: what they are for.
    count: how many, evenly spread over the test set (else the train set).

  Returns:
    uint8 [count or fewer, crop, crop, 3], and what they are.
  """
  try:
    config = config_of(weights)
    if at_hand(config.data):
      images, name = _of_run(config, count)
      return images, f'{len(images)} images of {name}'
  except (ValueError, OSError):
    pass  # Not here; noise tells networks apart as well.
  crop = weights.preprocessing.crop
  rng = np.random.default_rng(0)
  noise = rng.integers(0, 256, (count, crop, crop, 3), dtype=np.uint8)
  return noise, f'{count} images of noise'


def at_hand(data: ml_collections.ConfigDict) -> bool:
  """False for a set that tensorflow_datasets would first download."""
  if data.kind != 'tfds':
    return True
  place = tfds_numpy.prepared_dir(data.path)
  folder = pathlib.Path(place)
  # Of a bucket it is not asked.
  return (
    '://' in place or (folder / data.name.split('/')[0].split(':')[0]).is_dir()
  )


def _of_run(
  config: ml_collections.ConfigDict, count: int
) -> tuple[np.ndarray, str]:
  splits = dataset.load(config.data)
  data = splits.test or splits.train
  rows = np.unique(np.linspace(0, data.size - 1, count).astype(np.int32))
  found = pipeline.eval_batches(config, data, rows, _BATCH)
  images = np.concatenate([batch.image[batch.valid] for batch in found])
  if not len(images):
    raise ValueError(f'No image of {data.name} can be read.')
  return images, data.name
