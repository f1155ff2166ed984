"""Which images `--data` means, as the `data` fields of a config."""

import os

from ml_collections import ConfigDict

from semppl_jax.config import loading

_TFDS = 'tfds:'


def of(place: str) -> ConfigDict:
  """Returns the fields of a folder, record files, a TFDS name or `embedded`.

  Args:
    place: a folder, a glob of TFRecord files, `tfds:NAME` (train split, in the
      folder of tensorflow_datasets) or `embedded`.
  """
  config = loading.copy(loading.base()).data
  config.update(name='', test_split='', labels='all')
  if place == 'embedded':
    config.kind = place
  elif place.startswith(_TFDS):
    config.update(kind='tfds', name=place.removeprefix(_TFDS))
  elif os.path.isdir(os.path.expanduser(place)):
    config.update(kind='folder', path=place)
  else:
    config.update(kind='tfrecord', path=place)
  return config


def name(config: ConfigDict) -> str:
  """Returns what the images of `config.data` are called, for people."""
  if config.kind == 'tfds':
    return f'{config.name}/{config.train_split}'
  return config.kind if config.kind == 'embedded' else config.path
