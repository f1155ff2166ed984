"""Test sets that ask an ImageNet classifier about unusual images.

ImageNet-V2 (Recht et al., arXiv 1902.10811), ImageNet-C (Hendrycks and
Dietterich, arXiv 1903.12261), ImageNet-R (arXiv 2006.16241), ImageNet-A (arXiv
1907.07174), ImageNet-Sketch (Wang et al., arXiv 1905.13549) as
tensorflow_datasets prepares them, and ObjectNet (Barbu et al., NeurIPS 2019)
from the folder that its archive holds. None can be shipped with this package.
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
  """Where a test set is and how it is judged.

  Attributes:
    variants: name of each part, '' where there is one only, and its TFDS name;
      empty for ObjectNet.
    split: the split to read.
    subset: its classes, a name of `class_maps`.
    metric: `'top1'` of each part, or `'mce'` over all parts.
    cropped: whether the images are centre crops of 224 pixels already, to be
      shown whole.
  """

  variants: dict[str, str]
  split: str
  subset: str
  metric: str
  cropped: bool = False


def _single(name: str, subset: str) -> RobustnessSet:
  return RobustnessSet({'': name}, 'test', subset, 'top1')


SETS = {
  'imagenet_v2': RobustnessSet(
    {
      x: f'imagenet_v2/{x}'
      for x in ('matched-frequency', 'threshold-0.7', 'topimages')
    },
    'test',
    'imagenet',
    'top1',
  ),
  'imagenet_c': RobustnessSet(
    {
      f'{name}/{severity}': f'imagenet2012_corrupted/{name}_{severity}'
      for name in metrics.ALEXNET_ERROR
      for severity in metrics.SEVERITIES
    },
    'validation',
    'imagenet',
    'mce',
    cropped=True,
  ),
  'imagenet_r': _single('imagenet_r', 'imagenet_r'),
  'imagenet_a': _single('imagenet_a', 'imagenet_a'),
  'imagenet_sketch': _single('imagenet_sketch', 'imagenet'),
  # The archive's images have a red border of one pixel, which a centre crop
  # leaves out.
  'objectnet': RobustnessSet({}, '', 'objectnet', 'top1'),
}  # fmt: skip


def absent(name: str, data_dir: str) -> str:
  """Returns '' where the whole set is on the disk, else a sentence.

  Args:
    name: one of `SETS`.
    data_dir: folder of prepared data sets; '' for that of tensorflow_datasets.

  Raises:
    ValueError: unknown name.
  """
  found = tfds_splits.known('Robustness', SETS, name)
  if not found.variants:
    folder = os.path.join(tfds_numpy.prepared_dir(data_dir), _OBJECTNET_FOLDER)
    there = os.path.isdir(folder)
    return '' if there else f'{name!r} is not there: no folder {folder!r}.'
  missing = [
    part
    for part in found.variants.values()
    if not tfds_splits.find(part, data_dir)
  ]
  if not missing:
    return ''
  return (
    f'{tfds_numpy.prepared_dir(data_dir)!r} has '
    f'{count_and_names(f"of {len(found.variants)} sets unprepared", missing)}.'
  )


def load(name: str, data_dir: str) -> Iterator[tuple[str, Dataset]]:
  """Yields each variant and its images, one index at a time.

  Labels are numbered as the columns of `imagenet_subsets.restrict` to the set's
  subset; images of other classes are -1, and left out of ObjectNet.

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


def _load(found: RobustnessSet, data_dir: str) -> Iterator[tuple[str, Dataset]]:
  if not found.variants:
    yield '', _objectnet(os.path.join(data_dir, _OBJECTNET_FOLDER))
  classes = imagenet_subsets.subset(found.subset)
  for variant, name in found.variants.items():
    whole = tfds_splits.load(name, found.split, data_dir)
    if len(whole.class_names) != imagenet_subsets.CLASSES:
      raise ValueError(
        f'{whole.name!r} has {len(whole.class_names)} classes, and a test set '
        f'of ImageNet classifiers {imagenet_subsets.CLASSES}.'
      )
    # No group of these sets has more than one class, whose name it bears.
    names = tuple(whole.class_names[c] for c in classes.columns)
    labels = imagenet_subsets.relabel(whole.labels, classes)
    yield variant, whole._replace(labels=labels, class_names=names)


def _objectnet(root: str) -> Dataset:
  """The images of the folders that overlap with ImageNet."""
  source, labels, folders = read_folder(root, field='folder of ObjectNet')
  names = tuple(imagenet_subsets.OBJECTNET)
  missing = sorted(set(names) - set(folders))
  if missing:
    raise ValueError(
      f'{root!r} lacks {count_and_names(f"of {len(names)} class folders", missing)}.'
    )
  number = {name: c for c, name in enumerate(names)}
  # One place more, which is that of images outside all folders.
  table = np.array([*(number.get(f, -1) for f in folders), -1], np.int32)
  labels = table[labels]
  whole = Dataset('objectnet', source.paths, labels, names, source)
  return whole.select(np.flatnonzero(labels >= 0))
