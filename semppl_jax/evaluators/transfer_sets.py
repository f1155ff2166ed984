"""Transfer test sets: the twelve of Kornblith et al., arXiv 1805.08974.

Splits and metrics are those of the paper and of SimCLR (arXiv 2002.05709,
appendix B.8): the regularizer is selected on the official validation split
(Aircraft, VOC2007, DTD, Flowers) or on held-out train images, the final
classifier is fitted on both, and it is tested on the test split. DTD and SUN397
use their first split. Caltech-101 has a background class as its 102nd and 30
train images of each class, drawn by tensorflow_datasets. Aircraft and Birdsnap,
which are not in it, are folders `<data_dir>/<name>/<split>/<class>`.
"""

import logging
import os
from typing import NamedTuple

from jaxtyping import Int, Int32
from ml_collections import ConfigDict
import numpy as np

from semppl_jax.data import labels as labels_lib, tfds_splits
from semppl_jax.data.dataset import Dataset
from semppl_jax.data.sources import tfds_numpy
from semppl_jax.data.sources.folder import FileSource, read_folder
from semppl_jax.runtime.errors import count_and_names

_log = logging.getLogger(__name__)


class TransferSet(NamedTuple):
  """Location, splits and metric of a set.

  Attributes:
    tfds: its TFDS name, or '' for a set of folders.
    train: the train split.
    validation: the official validation split, or ''.
    test: the test split.
    metric: `'top1'`, `'mean_per_class'` or `'map11'`, of `metrics.BY_NAME`.
    size: official number of images of train with validation, and of test.
  """

  tfds: str
  train: str
  validation: str
  test: str
  metric: str
  size: tuple[int, int]


class TransferData(NamedTuple):
  """Images and labels of a set.

  Attributes:
    train: images of train and validation, for the final classifier; `labels`
      is -1 for an image of several classes.
    test: the test images.
    train_labels: int32 [n], -1 for none; or int8 [n, C], 1 where the class is
      present, 0 where it is not, -1 where the pair does not count.
    test_labels: likewise.
    fit: positions in train to fit on during the selection, ascending int32.
    validation: positions in train to select by, ascending int32.
    metric: name of the metric.
  """

  train: Dataset
  test: Dataset
  train_labels: Int[np.ndarray, 'n ...']
  test_labels: Int[np.ndarray, 'm ...']
  fit: Int32[np.ndarray, 'f']
  validation: Int32[np.ndarray, 'v']
  metric: str


# fmt: off
SETS = {
  'food101': TransferSet(
    # In TFDS the official test images are `validation`.
    'food101', 'train', '', 'validation', 'top1', (75750, 25250)),
  'cifar10': TransferSet(
    'cifar10', 'train', '', 'test', 'top1', (50000, 10000)),
  'cifar100': TransferSet(
    'cifar100', 'train', '', 'test', 'top1', (50000, 10000)),
  'birdsnap': TransferSet(
    '', 'train', '', 'test', 'top1', (47386, 2443)),
  'sun397': TransferSet(
    'sun397/standard-part1-120k', 'train', '', 'test', 'top1', (19850, 19850)),
  'cars': TransferSet(
    'cars196', 'train', '', 'test', 'top1', (8144, 8041)),
  'aircraft': TransferSet(
    '', 'train', 'validation', 'test', 'mean_per_class', (6667, 3333)),
  'voc2007': TransferSet(
    'voc/2007', 'train', 'validation', 'test', 'map11', (5011, 4952)),
  'dtd': TransferSet(
    'dtd', 'train', 'validation', 'test', 'top1', (3760, 1880)),
  'pets': TransferSet(
    'oxford_iiit_pet', 'train', '', 'test', 'mean_per_class', (3680, 3669)),
  'caltech101': TransferSet(
    'caltech101', 'train', '', 'test', 'mean_per_class', (3060, 6084)),
  'flowers102': TransferSet(
    'oxford_flowers102', 'train', 'validation', 'test', 'mean_per_class',
    (2040, 6149)),
}
# fmt: on


def absent(name: str, data_dir: str) -> str:
  """Returns '' if the set is on the disk, else a sentence.

  Args:
    name: one of `SETS`.
    data_dir: folder of prepared data sets; '' for that of tensorflow_datasets.

  Raises:
    ValueError: unknown name.
  """
  entry = tfds_splits.known('Transfer', SETS, name)
  home = tfds_numpy.prepared_dir(data_dir)
  if entry.tfds:
    prepared = tfds_splits.find(entry.tfds, data_dir)
    return '' if prepared else f'{entry.tfds!r} is not prepared in {home!r}.'
  folders = [os.path.join(home, name, split) for split in _splits(entry)]
  missing = [folder for folder in folders if not os.path.isdir(folder)]
  names = count_and_names('folder(s) not found', missing)
  return f'{name!r} has {names}.' if missing else ''


def _splits(entry: TransferSet) -> list[str]:
  return [x for x in (entry.train, entry.validation, entry.test) if x]


def load(
  name: str, data_dir: str, *, holdout: float = 0.2, seed: int = 0
) -> TransferData:
  """Indexes a set, without reading images or downloading.

  Args:
    name: one of `SETS`.
    data_dir: folder of prepared data sets and of image folders; '' for that of
      tensorflow_datasets.
    holdout: held-out share of each class of train, in (0, 1), where there is
      no official validation split.
    seed: of the random selection of the hold-out.

  Raises:
    ValueError: unknown name, a set that is absent or damaged, or a hold-out
      that leaves a class without images.
  """
  if not 0 < holdout < 1:
    raise ValueError(f'holdout={holdout} must be above 0 and below 1.')
  if reason := absent(name, data_dir):
    raise ValueError(reason)
  entry, home = SETS[name], tfds_numpy.prepared_dir(data_dir)
  read = _read_prepared if entry.tfds else _read_folders
  first, train, test = read(name, home)
  if (train.size, test.size) != entry.size:
    _log.warning(
      '%s has %d images to fit on and %d to test on; official are %d and %d.',
      name, train.size, test.size, *entry.size,
    )  # fmt: skip
  train, train_labels = _labelled(entry, _both(entry), train, home)
  test, test_labels = _labelled(entry, entry.test, test, home)
  if entry.validation:
    validation = np.arange(first, train.size, dtype=np.int32)
  else:
    validation = _held_out(train, holdout, seed)
  fit = np.setdiff1d(np.arange(train.size, dtype=np.int32), validation)
  return TransferData(
    train, test, train_labels, test_labels, fit, validation, entry.metric
  )


def _both(entry: TransferSet) -> str:
  return '+'.join(_splits(entry)[:-1])


def _read_prepared(name: str, home: str) -> tuple[int, Dataset, Dataset]:
  """Returns the size of train, train with validation, and test."""
  entry = SETS[name]
  train = tfds_splits.load(entry.tfds, entry.train, home)
  test = tfds_splits.load(entry.tfds, entry.test, home)
  both = train
  if entry.validation:
    both = tfds_splits.load(entry.tfds, _both(entry), home)
  return train.size, both, test


def _read_folders(name: str, home: str) -> tuple[int, Dataset, Dataset]:
  """Returns the size of train, train with validation, and test."""
  entry, root = SETS[name], os.path.join(home, name)
  names = None
  parts = []
  for split in _splits(entry):
    part = read_folder(
      os.path.join(root, split), '', names, f'folder of {name!r}'
    )
    names = part.class_names
    paths = np.array([f'{split}/{path}' for path in part.source.paths])
    parts.append((paths, part.labels))

  def join(title: str, parts: list) -> Dataset:
    paths, labels = (np.concatenate(x) for x in zip(*parts, strict=True))
    source = FileSource(root, paths)
    return Dataset(f'{name}/{title}', paths, labels, names or (), source)

  train, test = join(_both(entry), parts[:-1]), join(entry.test, parts[-1:])
  return len(parts[0][0]), train, test


def _labelled(
  entry: TransferSet, split: str, images: Dataset, home: str
) -> tuple[Dataset, np.ndarray]:
  """Returns the images with the names of their classes, and their labels."""
  if entry.metric != 'map11':
    return images, images.labels
  from semppl_jax.data.sources import tfds as tfds_lib  # TensorFlow.

  version = tfds_splits.find(entry.tfds, home)
  builder = tfds_lib.open_builder(version, home, 'transfer set')
  several = tfds_lib.read_multi_labels(builder, split)
  return images._replace(class_names=several.class_names), several.labels


def _held_out(train: Dataset, share: float, seed: int) -> np.ndarray:
  config = ConfigDict(
    dict(kind='tfds', labels=f'fraction:{share}', labels_seed=seed)
  )
  held = labels_lib.select(config, train).index
  left = np.bincount(
    np.delete(train.labels, held) + 1, minlength=len(train.class_names) + 1
  )
  empty = [c for c, n in zip(train.class_names, left[1:], strict=True) if not n]
  if empty:
    names = count_and_names('class(es) without an image to fit on', empty)
    raise ValueError(f'holdout={share} of {train.name!r} leaves {names}.')
  return held
