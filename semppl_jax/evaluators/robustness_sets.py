"""Robustness test sets of ImageNet classifiers.

ImageNet-V2 (Recht et al., arXiv 1902.10811), ImageNet-C (Hendrycks and
Dietterich, arXiv 1903.12261), ImageNet-R (arXiv 2006.16241), ImageNet-A (arXiv
1907.07174), ImageNet-Sketch (Wang et al., arXiv 1905.13549) as
tensorflow_datasets prepares them, and ObjectNet (Barbu et al., NeurIPS 2019)
from the folder in its archive. None of them comes with this package.
"""

from collections.abc import Iterator
import os
from typing import NamedTuple

import numpy as np

from semppl_jax.data import tfds_splits
from semppl_jax.data.dataset import Dataset
from semppl_jax.data.sources import tfds_numpy
from semppl_jax.data.sources.folder import read_folder
from semppl_jax.evaluators import imagenet_subsets, metrics
from semppl_jax.runtime.errors import count_and_names

_OBJECTNET_FOLDER = os.path.join('objectnet-1.0', 'images')


class RobustnessSet(NamedTuple):
  """Location and metric of a test set.

  Attributes:
    variants: TFDS name of each part by the part's name, '' for a single part;
      empty for ObjectNet.
    split: the split to read.
    subset: its classes, a name of `imagenet_subsets`.
    metric: `'top1'` of each part, or `'mce'` over all parts.
    cropped: True if the images are center crops of 224 pixels already.
  """

  variants: dict[str, str]
  split: str = 'test'
  subset: str = 'imagenet'
  metric: str = 'top1'
  cropped: bool = False


_V2 = ('matched-frequency', 'threshold-0.7', 'topimages')
SETS = {
  'imagenet_v2': RobustnessSet({x: f'imagenet_v2/{x}' for x in _V2}),
  'imagenet_c': RobustnessSet(
    {
      f'{name}/{severity}': f'imagenet2012_corrupted/{name}_{severity}'
      for name in metrics.ALEXNET_ERROR
      for severity in metrics.SEVERITIES
    },
    split='validation',
    metric='mce',
    cropped=True,
  ),
  'imagenet_r': RobustnessSet({'': 'imagenet_r'}, subset='imagenet_r'),
  'imagenet_a': RobustnessSet({'': 'imagenet_a'}, subset='imagenet_a'),
  'imagenet_sketch': RobustnessSet({'': 'imagenet_sketch'}),
  # The images have a red border of one pixel, which a center crop removes.
  'objectnet': RobustnessSet({}, subset='objectnet'),
}


def absent(name: str, data_dir: str) -> str:
  """Returns '' if the whole set is on the disk, else a sentence.

  Args:
    name: one of `SETS`.
    data_dir: folder of prepared data sets; '' for that of tensorflow_datasets.

  Raises:
    ValueError: unknown name.
  """
  entry = tfds_splits.known('Robustness', SETS, name)
  home = tfds_numpy.prepared_dir(data_dir)
  if not entry.variants:
    folder = os.path.join(home, _OBJECTNET_FOLDER)
    exists = os.path.isdir(folder)
    return '' if exists else f'Folder {folder!r} of {name!r} not found.'
  parts = entry.variants.values()
  missing = [part for part in parts if not tfds_splits.find(part, data_dir)]
  what = f'of {len(parts)} sets unprepared'
  return f'{home!r} has {count_and_names(what, missing)}.' if missing else ''


def load(name: str, data_dir: str) -> Iterator[tuple[str, Dataset]]:
  """Yields each variant and its images; indexes one variant at a time.

  Labels are the columns of `imagenet_subsets.restrict` to the set's subset;
  images of other classes have -1, and are left out of ObjectNet.

  Args:
    name: one of `SETS`.
    data_dir: folder of prepared data sets, or of ObjectNet's unpacked archive;
      '' for that of tensorflow_datasets.

  Raises:
    ValueError: unknown name, or a set that is absent or damaged.
  """
  if reason := absent(name, data_dir):
    raise ValueError(reason)
  return _load(SETS[name], tfds_numpy.prepared_dir(data_dir))


def _load(entry: RobustnessSet, data_dir: str) -> Iterator[tuple[str, Dataset]]:
  if not entry.variants:
    yield '', _objectnet(os.path.join(data_dir, _OBJECTNET_FOLDER))
  classes = imagenet_subsets.subset(entry.subset)
  for variant, name in entry.variants.items():
    whole = tfds_splits.load(name, entry.split, data_dir)
    if len(whole.class_names) != imagenet_subsets.CLASSES:
      raise ValueError(
        f'{whole.name!r} must have the {imagenet_subsets.CLASSES} classes of'
        f' ImageNet, got {len(whole.class_names)}.'
      )
    # In these sets each class is one class of ImageNet, with the same name.
    names = tuple(whole.class_names[c] for c in classes.columns)
    labels = imagenet_subsets.relabel(whole.labels, classes)
    yield variant, whole._replace(labels=labels, class_names=names)


def _objectnet(root: str) -> Dataset:
  """Returns the images of the folders that overlap with ImageNet."""
  source, labels, folders = read_folder(root, field='folder of ObjectNet')
  names = tuple(imagenet_subsets.OBJECTNET)
  missing = sorted(set(names) - set(folders))
  if missing:
    what = f'of {len(names)} class folders'
    raise ValueError(f'{root!r} lacks {count_and_names(what, missing)}.')
  number = {name: c for c, name in enumerate(names)}
  # The additional last place is that of images outside all folders.
  table = np.array([*(number.get(f, -1) for f in folders), -1], np.int32)
  labels = table[labels]
  whole = Dataset('objectnet', source.paths, labels, names, source)
  return whole.select(np.flatnonzero(labels >= 0))
