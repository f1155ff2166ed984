"""Data sets that are prepared on the disk already; nothing is downloaded."""

from collections.abc import Mapping
import os
import re
from typing import TypeVar

from ml_collections import ConfigDict

from semppl_jax.data import dataset
from semppl_jax.data.dataset import Dataset
from semppl_jax.data.sources.tfds_home import home

_Entry = TypeVar('_Entry')


def known(kind: str, table: Mapping[str, _Entry], name: str) -> _Entry:
  """Returns a set of a table.

  Args:
    kind: what the table has, for the message.
    table: sets by name.
    name: its name.

  Raises:
    ValueError: unknown name.
  """
  if name not in table:
    raise ValueError(f'{kind} set {name!r} must be one of {", ".join(table)}.')
  return table[name]


def find(name: str, data_dir: str) -> str:
  """Returns `name` with its newest version on the disk, or '' without one.

  The version that is there is read, be it not the one that the installed
  tensorflow_datasets would prepare.

  Args:
    name: TFDS name, such as `cifar10` or `voc/2007`.
    data_dir: folder of prepared data sets; '' for TFDS's own.
  """
  from semppl_jax.data.tf.runtime import tf

  pattern = os.path.join(home(data_dir), name, '*', 'dataset_info.json')
  folders = [
    os.path.basename(os.path.dirname(x)) for x in tf.io.gfile.glob(pattern)
  ]
  versions = [
    tuple(map(int, x.split('.')))
    for x in folders
    if re.fullmatch(r'\d+\.\d+\.\d+', x)
  ]
  return f'{name}:{".".join(map(str, max(versions)))}' if versions else ''


def load(name: str, split: str, data_dir: str) -> Dataset:
  """Indexes a split of a prepared data set.

  Args:
    name: TFDS name.
    split: such as `test` or `train+validation`.
    data_dir: folder of prepared data sets; '' for TFDS's own.

  Raises:
    ValueError: it is not prepared, or has no such split.
  """
  found = find(name, data_dir)
  if not found:
    raise ValueError(f'{name!r} is not prepared in {home(data_dir)!r}.')
  config = ConfigDict(
    dict(
      kind='tfds',
      backend='tfdata',
      name=found,
      path=home(data_dir),
      train_split=split,
      test_split='',
      test_holdout=0,
      limit=0,
    )
  )
  return dataset.load(config).train
