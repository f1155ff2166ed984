"""Splits of prepared TFDS data sets; nothing is downloaded."""

from collections.abc import Mapping
import os
import re
from typing import TypeVar

from ml_collections import ConfigDict

from semppl_jax.data import dataset
from semppl_jax.data.dataset import Dataset
from semppl_jax.data.sources.tfds_numpy import prepared_dir

_Entry = TypeVar('_Entry')


def known(kind: str, table: Mapping[str, _Entry], name: str) -> _Entry:
  """Returns an entry of a table of data sets.

  Args:
    kind: kind of the sets, for the message.
    table: sets by name.
    name: key in it.

  Raises:
    ValueError: unknown name.
  """
  if name not in table:
    raise ValueError(f'{kind} set {name!r} must be one of {", ".join(table)}.')
  return table[name]


def find(name: str, data_dir: str) -> str:
  """Returns `name` with its newest prepared version, or '' without one.

  The installed tensorflow_datasets may prefer another version.

  Args:
    name: TFDS name, such as `cifar10` or `voc/2007`.
    data_dir: folder of prepared data sets; '' for the default of TFDS.
  """
  from semppl_jax.data.tf.runtime import tf

  pattern = os.path.join(prepared_dir(data_dir), name, '*', 'dataset_info.json')
  versions = [
    tuple(map(int, match.groups()))
    for path in tf.io.gfile.glob(pattern)
    if (match := re.search(r'/(\d+)\.(\d+)\.(\d+)/[^/]+$', path))
  ]
  return f'{name}:{".".join(map(str, max(versions)))}' if versions else ''


def load(name: str, split: str, data_dir: str) -> Dataset:
  """Indexes a split of a prepared data set.

  Args:
    name: TFDS name.
    split: such as `test` or `train+validation`.
    data_dir: folder of prepared data sets; '' for the default of TFDS.

  Raises:
    ValueError: it is not prepared, or has no such split.
  """
  version = find(name, data_dir)
  if not version:
    raise ValueError(f'{name!r} is not prepared in {prepared_dir(data_dir)!r}.')
  config = ConfigDict(
    dict(
      kind='tfds',
      backend='tfdata',
      name=version,
      path=prepared_dir(data_dir),
      train_split=split,
      test_split='',
      test_holdout=0,
      limit=0,
    )
  )
  return dataset.load(config).train
