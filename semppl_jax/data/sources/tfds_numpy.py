"""Data sets that tensorflow_datasets prepared, without it or TensorFlow."""

import glob
import json
import os
from typing import NamedTuple

from semppl_jax.data.sources.tfds_home import home
from semppl_jax.data.sources.tfrecord_index import Shard


class Prepared(NamedTuple):
  """A prepared data set.

  Attributes:
    folder: where it lies.
    splits: the shards of each split by its name.
    class_names: names of the classes, or ().
  """

  folder: str
  splits: dict[str, list[Shard]]
  class_names: tuple[str, ...]


def open_prepared(name: str, data_dir: str, field: str) -> Prepared:
  """Reads what is said of a prepared data set, of its newest version.

  Args:
    name: TFDS name, with a version or without: `cifar10`, `cifar10:3.0.2`.
    data_dir: folder of prepared data sets; '' for TFDS's own.
    field: the config field that names it, for messages.

  Raises:
    ValueError: it is not prepared there, or not in TFRecord files.
  """
  where = f'{field}={name!r}'
  root = home(data_dir)
  plain, _, version = name.partition(':')
  found = glob.glob(
    os.path.join(glob.escape(os.path.join(root, plain)), version or '*', _INFO)
  )
  if not found:
    raise ValueError(
      f"{where} is not prepared in {root!r}, and data.backend='device' prepares"
      " nothing; do so with tensorflow_datasets, or by data.backend='tfdata'."
    )
  folder = os.path.dirname(max(found, key=_version))
  with open(os.path.join(folder, _INFO), encoding='utf-8') as file:
    info = json.load(file)
  if info.get('fileFormat', 'tfrecord') != 'tfrecord':
    raise ValueError(
      f'{where} is stored as {info["fileFormat"]}; only tfrecord can be read.'
    )
  splits = {
    split['name']: _shards(folder, info['name'], split)
    for split in info['splits']
  }
  return Prepared(folder, splits, _class_names(folder))


def split_shards(prepared: Prepared, split: str, field: str) -> list[Shard]:
  """Returns the shards of a whole split.

  Raises:
    ValueError: the data set has no such split.
  """
  if split not in prepared.splits:
    raise ValueError(
      f'{field}={split!r} is not a split of {prepared.folder!r}, which has'
      f" {sorted(prepared.splits)}; with data.backend='device' parts of splits"
      ' cannot be named.'
    )
  return prepared.splits[split]


_INFO = 'dataset_info.json'


def _version(path: str) -> tuple[int, ...]:
  version = os.path.basename(os.path.dirname(path))
  return tuple(int(x) if x.isdigit() else -1 for x in version.split('.'))


def _shards(folder: str, name: str, split: dict) -> list[Shard]:
  """The files of a split, by the template of their names."""
  lengths = split['shardLengths']
  template = split.get('filepathTemplate') or (
    '{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}'
  )
  return [
    Shard(
      os.path.join(
        folder,
        template.format(
          DATASET=name.split('/')[0],
          SPLIT=split['name'],
          FILEFORMAT='tfrecord',
          SHARD_INDEX=f'{n:05d}',
          NUM_SHARDS=f'{len(lengths):05d}',
          SHARD_X_OF_Y=f'{n:05d}-of-{len(lengths):05d}',
        ),
      ),
      0,
      int(length),
    )
    for n, length in enumerate(lengths)
  ]


def _class_names(folder: str) -> tuple[str, ...]:
  try:
    with open(
      os.path.join(folder, 'label.labels.txt'), encoding='utf-8'
    ) as file:
      return tuple(line.rstrip('\n') for line in file if line.strip())
  except OSError:
    return ()
