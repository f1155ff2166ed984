"""The twelve sets of Kornblith et al., arXiv 1805.08974.

Splits and metrics are the paper's, as SimCLR (arXiv 2002.05709, appendix B.8)
states them too: the validation split that a set's makers give (Aircraft,
VOC2007, DTD, Flowers) or one held out of train selects the regulariser, the
final classifier learns from both, and the test split judges it. DTD and SUN397
use their first split; Caltech-101 has a background class as its 102nd and 30
images of each to learn from, drawn by tensorflow_datasets. Aircraft and
Birdsnap, which it lacks, are folders `<data_dir>/<name>/<split>/<class>`.
"""

import logging
import os
from typing import NamedTuple

from ml_collections import ConfigDict
import numpy as np

from semppl_jax.data import labels as labels_lib, tfds_splits
from semppl_jax.data.dataset import Dataset
from semppl_jax.data.sources import tfds_numpy
from semppl_jax.data.sources.folder import FileSource, read_folder
from semppl_jax.runtime.errors import count_and_names

_log = logging.getLogger(__name__)


class TransferSet(NamedTuple):
  """Where a set is, how it is split and by what it is judged.

  Attributes:
    tfds: its TFDS name, or '' for a set of folders.
    train: the split to learn from.
    validation: the split that its makers give to select by, or ''.
    test: the split to judge by.
    metric: `'top1'`, `'mean_per_class'` or `'map11'`, of `metrics.BY_NAME`.
    size: images published, of train with validation and of test.
  """

  tfds: str
  train: str
  validation: str
  test: str
  metric: str
  size: tuple[int, int]


class TransferData(NamedTuple):
  """A set, ready to learn from.

  Attributes:
    train: images of train and validation, which the final classifier learns
      from; where an image shows several classes `labels` is -1.
    test: images to judge it by.
    train_labels: int32 [n], -1 where there is none; or int8 [n, C], 1 where the
      image shows the class, 0 where it does not, -1 where that does not count.
    test_labels: likewise.
    fit: positions in train to learn from while selecting, ascending int32.
    validation: positions in train to select by, ascending int32.
    metric: name of the metric.
  """

  train: Dataset
  test: Dataset
  train_labels: np.ndarray
  test_labels: np.ndarray
  fit: np.ndarray
  validation: np.ndarray
  metric: str


# fmt: off
SETS = {
  'food101': TransferSet(
    # TFDS names the published test images validation.
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
  """Returns '' where the set is on the disk, else a sentence.

  Args:
    name: one of `SETS`.
    data_dir: folder of prepared data sets; '' for that of tensorflow_datasets.

  Raises:
    ValueError: unknown name.
  """
  found = tfds_splits.known('Transfer', SETS, name)
  home = tfds_numpy.prepared_dir(data_dir)
  if found.tfds:
    there = tfds_splits.find(found.tfds, data_dir)
    return '' if there else f'{found.tfds!r} is not prepared in {home!r}.'
  folders = [
    os.path.join(home, name, split)
    for split in (found.train, found.validation, found.test)
    if split
  ]
  missing = [folder for folder in folders if not os.path.isdir(folder)]
  if not missing:
    return ''
  return f'{name!r} has {count_and_names("folder(s) that are not there", missing)}.'


def load(
  name: str, data_dir: str, *, holdout: float = 0.2, seed: int = 0
) -> TransferData:
  """Indexes a set; reads no image and downloads nothing.

  Args:
    name: one of `SETS`.
    data_dir: folder of prepared data sets and of image folders; '' for that of
      tensorflow_datasets.
    holdout: share of each class of train to select by, in (0, 1), where the
      makers give no validation split.
    seed: of the draw of the hold-out.

  Raises:
    ValueError: unknown name, a set that is absent or damaged, or a hold-out
      that leaves a class nothing to learn from.
  """
  if not 0 < holdout < 1:
    raise ValueError(f'holdout={holdout} must be above 0 and below 1.')
  if reason := absent(name, data_dir):
    raise ValueError(reason)
  found, home = SETS[name], tfds_numpy.prepared_dir(data_dir)
  read = _read_prepared if found.tfds else _read_folders
  first, train, test = read(name, home)
  _compare(name, found, train.size, test.size)
  train, train_labels = _labelled(found, _both(found), train, home)
  test, test_labels = _labelled(found, found.test, test, home)
  if found.validation:
    validation = np.arange(first, train.size, dtype=np.int32)
  else:
    validation = _held_out(train, holdout, seed)
  fit = np.setdiff1d(np.arange(train.size, dtype=np.int32), validation)
  return TransferData(
    train, test, train_labels, test_labels, fit, validation, found.metric
  )


def _both(found: TransferSet) -> str:
  return '+'.join(filter(None, (found.train, found.validation)))


def _read_prepared(name: str, home: str) -> tuple[int, Dataset, Dataset]:
  """Returns the size of train, train with validation, and test."""
  found = SETS[name]
  train = tfds_splits.load(found.tfds, found.train, home)
  test = tfds_splits.load(found.tfds, found.test, home)
  if not found.validation:
    return train.size, train, test
  return train.size, tfds_splits.load(found.tfds, _both(found), home), test


def _read_folders(name: str, home: str) -> tuple[int, Dataset, Dataset]:
  """Returns the size of train, train with validation, and test."""
  found, root = SETS[name], os.path.join(home, name)
  names = None
  parts = []
  for split in filter(None, (found.train, found.validation, found.test)):
    part = read_folder(
      os.path.join(root, split), '', names, f'folder of {name!r}'
    )
    names = part.class_names
    paths = np.array([f'{split}/{path}' for path in part.source.paths])
    parts.append((paths, part.labels))

  def join(title: str, some: list) -> Dataset:
    paths, labels = (np.concatenate(x) for x in zip(*some, strict=True))
    source = FileSource(root, paths)
    return Dataset(f'{name}/{title}', paths, labels, names or (), source)

  train, test = join(_both(found), parts[:-1]), join(found.test, parts[-1:])
  return len(parts[0][0]), train, test


def _labelled(
  found: TransferSet, split: str, images: Dataset, home: str
) -> tuple[Dataset, np.ndarray]:
  """Returns the images with the names of their classes, and their labels."""
  if found.metric != 'map11':
    return images, images.labels
  from semppl_jax.data.sources import tfds as tfds_lib  # TensorFlow.

  version = tfds_splits.find(found.tfds, home)
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
  bare = [c for c, n in zip(train.class_names, left[1:], strict=True) if not n]
  if bare:
    raise ValueError(
      f'holdout={share} of {train.name!r} leaves '
      f'{count_and_names("class(es) without an image to learn from", bare)}.'
    )
  return held


def _compare(name: str, found: TransferSet, train: int, test: int) -> None:
  if (train, test) != found.size:
    _log.warning(
      '%s has %d images to learn from and %d to judge by; published are %d '
      'and %d.', name, train, test, *found.size,
    )  # fmt: skip
