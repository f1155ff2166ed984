"""Data sets prepared by tensorflow_datasets, without it or TensorFlow."""

import glob
import json
import os
from typing import NamedTuple

from semppl_jax.data.sources.tfrecord_index import Shard

_INFO = 'dataset_info.json'


def prepared_dir(data_dir: str) -> str:
  """Returns the folder of prepared data sets; for '' the default of TFDS."""
  default = os.environ.get('TFDS_DATA_DIR', '~/tensorflow_datasets')
  return os.path.expanduser(data_dir or default)


class PreparedDataset(NamedTuple):
  """A prepared data set.

  Attributes:
    folder: folder of its version.
    splits: the shards of each split by its name.
    class_names: names of the classes, or ().
  """

  folder: str
  splits: dict[str, list[Shard]]
  class_names: tuple[str, ...]


def open_builder(name: str, data_dir: str, field: str) -> PreparedDataset:
  """Reads the metadata of the newest prepared version of a data set.

  Args:
    name: TFDS name, with a version or without: `cifar10`, `cifar10:3.0.2`.
    data_dir: folder of prepared data sets; '' for the default of TFDS.
    field: the config field of the name, for messages.

  Raises:
    ValueError: it is not prepared there, or not in TFRecord files.
  """
  where = f'{field}={name!r}'
  root = prepared_dir(data_dir)
  plain, _, version = name.partition(':')
  versions = glob.glob(
    os.path.join(glob.escape(os.path.join(root, plain)), version or '*', _INFO)
  )
  if not versions:
    raise ValueError(
      f"{where} is not prepared in {root!r}, and data.backend='device' prepares"
      " nothing; do so with tensorflow_datasets, or by data.backend='tfdata'."
    )
  folder = os.path.dirname(max(versions, key=_version))
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
  return PreparedDataset(folder, splits, _read_class_names(folder))


def split_shards(
  builder: PreparedDataset, split: str, field: str
) -> list[Shard]:
  """Returns the shards of a whole split.

  Raises:
    ValueError: the data set has no such split.
  """
  if split not in builder.splits:
    raise ValueError(
      f'{field}={split!r} is not a split of {builder.folder!r}, which has'
      f" {sorted(builder.splits)}; with data.backend='device' parts of splits"
      ' cannot be named.'
    )
  return builder.splits[split]


def class_names(builder: PreparedDataset) -> tuple[str, ...]:
  """Returns the class names, or () for a data set without them."""
  return builder.class_names


def _version(path: str) -> tuple[int, ...]:
  version = os.path.basename(os.path.dirname(path))
  return tuple(int(x) if x.isdigit() else -1 for x in version.split('.'))


def _shards(folder: str, name: str, split: dict) -> list[Shard]:
  """Returns the files of a split, named by its template."""
  lengths = split['shardLengths']
  template = split.get('filepathTemplate') or (
    '{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}'
  )
  files = [
    template.format(
      DATASET=name.split('/')[0],
      SPLIT=split['name'],
      FILEFORMAT='tfrecord',
      SHARD_INDEX=f'{n:05d}',
      NUM_SHARDS=f'{len(lengths):05d}',
      SHARD_X_OF_Y=f'{n:05d}-of-{len(lengths):05d}',
    )
    for n in range(len(lengths))
  ]
  return [
    Shard(os.path.join(folder, file), 0, int(length))
    for file, length in zip(files, lengths, strict=True)
  ]


def _read_class_names(folder: str) -> tuple[str, ...]:
  path = os.path.join(folder, 'label.labels.txt')
  try:
    with open(path, encoding='utf-8') as file:
      return tuple(line.rstrip('\n') for line in file if line.strip())
  except OSError:
    return ()
