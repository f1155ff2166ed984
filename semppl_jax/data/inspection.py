"""Report of the data of a run: counts, and damaged or missing images."""

import collections
import hashlib
import logging
from typing import NamedTuple

from ml_collections import ConfigDict
import numpy as np

from semppl_jax.data import masks
from semppl_jax.data.batch import UNLABELLED
from semppl_jax.data.dataset import Dataset, Splits
from semppl_jax.data.labels import LabelSubset
from semppl_jax.data.pipeline import eval_batches
from semppl_jax.data.sources.folder import FileSource
from semppl_jax.runtime.errors import count_and_names
from semppl_jax.runtime.tables import fixed_width

_log = logging.getLogger(__name__)
_LISTED_CLASSES = 20
# With fewer test images, each of them is over a point of accuracy.
_FEW_TEST_IMAGES = 100
_SPLIT_NAMES = {'train', 'val', 'valid', 'validation', 'test'}
_BATCH = 64


class DataReport(NamedTuple):
  """Counts and problems of the data of a run; `str` gives aligned lines.

  Attributes:
    train: number of train images.
    test: number of test images.
    classes: number of classes.
    labelled: train images whose label the run may know.
    per_class: labelled images of each class, by name.
    unlabelled: train images without a label in the data.
    missing: ids of files that do not exist.
    duplicates: ids of files with the bytes of an earlier file.
    unreadable: ids of images that cannot be decoded; None if not tried.
    label_hash: SHA-256 of the label subset.
    masks: description of the saliency masks.
    problems: sentences; none if the run can start.
    notes: sentences on what a run would do without.
  """

  train: int
  test: int
  classes: int
  labelled: int
  per_class: dict[str, int]
  unlabelled: int
  missing: list[str]
  duplicates: list[str]
  unreadable: list[str] | None
  label_hash: str
  masks: str
  problems: list[str]
  notes: list[str]

  def __str__(self) -> str:
    counts = sorted(self.per_class.values()) or [0]
    spread = f'{counts[0]} / {np.median(counts):g} / {counts[-1]}'
    unreadable = self.unreadable
    lines = [
      ('images', f'{self.train} train, {self.test} test'),
      ('classes', str(self.classes)),
      ('labelled', f'{self.labelled} ({self.labelled / self.train:.2%})'),
      ('per class', f'{spread} (min / median / max)'),
      ('no label in the data', str(self.unlabelled)),
      ('missing', _some(self.missing)),
      ('duplicate', _some(self.duplicates)),
      ('unreadable', 'not tried' if unreadable is None else _some(unreadable)),
      ('label subset', self.label_hash[:16]),
      ('saliency masks', self.masks),
    ]
    if len(self.per_class) <= _LISTED_CLASSES:
      each = ', '.join(f'{k} {v}' for k, v in self.per_class.items())
      lines.insert(4, ('', each))
    lines += [('note', note) for note in self.notes]
    lines += [('problem', problem) for problem in self.problems]
    return fixed_width(lines, ('<22', ''))


def report(
  config: ConfigDict, splits: Splits, subset: LabelSubset, decode: bool
) -> DataReport:
  """Inspects the data of a run.

  Args:
    config: the whole config.
    splits: from `dataset.load`.
    subset: from `labels.select`.
    decode: True to decode every image, and to compare the bytes of files of
      equal size; takes as long as an epoch of input.
  """
  train, test = splits
  known = np.bincount(
    train.labels[subset.index], minlength=len(train.class_names)
  )
  missing, duplicates = _files(train, decode)
  unreadable = _unreadable(config, train) if decode else None
  bad_test = _unreadable(config, test) if decode and test else []
  problems = []
  if missing:
    names = count_and_names('missing file(s)', missing)
    problems.append(f'The train set has {names}.')
  limit = config.data.max_corrupt
  if unreadable and len(unreadable) > limit * train.size:
    names = count_and_names('unreadable image(s)', unreadable)
    problems.append(
      f'The train set has {names}, over config.data.max_corrupt={limit} of'
      f' {train.size}.'
    )
  return DataReport(
    train=train.size,
    test=test.size if test else 0,
    classes=len(train.class_names),
    labelled=len(subset.index),
    per_class=dict(zip(train.class_names, known.tolist(), strict=True)),
    unlabelled=int((train.labels == UNLABELLED).sum()),
    missing=missing,
    duplicates=duplicates,
    unreadable=unreadable,
    label_hash=subset.hash,
    masks=masks.describe(config, train),
    problems=problems,
    notes=_notes(splits, bad_test),
  )


def _notes(splits: Splits, bad_test: list[str]) -> list[str]:
  notes = []
  train, test = splits
  if {name.lower() for name in train.class_names} <= _SPLIT_NAMES:
    notes.append(
      f'The classes are {", ".join(train.class_names)}; config.data.path and '
      'test_path may be meant to name these folders themselves.'
    )
  if test is None:
    notes.append(
      'There is no test set, so nothing is evaluated; config.data.test_split, '
      'test_path or test_holdout names one.'
    )
    return notes
  known = int((test.labels != UNLABELLED).sum())
  if not known:
    notes.append(
      f'The test set {test.name!r} has no labels: nothing is evaluated.'
    )
  elif known < _FEW_TEST_IMAGES:
    notes.append(
      f'The test set {test.name!r} has {known} labelled images: each moves an '
      f'accuracy by {100 / known:.1f} points.'
    )
  if bad_test:
    names = count_and_names('unreadable image(s)', bad_test)
    notes.append(
      f'The test set {test.name!r} has {names}; they are left out of '
      'evaluations.'
    )
  return notes


def _files(train: Dataset, compare: bool) -> tuple[list[str], list[str]]:
  """Returns ids of missing files, and of files equal to an earlier one."""
  if not isinstance(train.source, FileSource):
    return [], []
  missing, by_size = [], collections.defaultdict(list)
  for row, size in enumerate(train.source.sizes()):
    if size < 0:
      missing.append(str(train.ids[row]))
    else:
      by_size[size].append(row)
  if not compare:
    return missing, []
  seen: set[bytes] = set()
  duplicates = []
  # Files of different sizes differ: only the others are opened.
  for row in sorted(r for rows in by_size.values() if rows[1:] for r in rows):
    key = hashlib.sha256(train.source.read(row)).digest()
    if key in seen:
      duplicates.append(str(train.ids[row]))
    seen.add(key)
  return missing, duplicates


def _unreadable(config: ConfigDict, data: Dataset) -> list[str]:
  _log.info('Decoding the %d images of %r.', data.size, data.name)
  rows = np.arange(data.size)
  bad = [
    batch.index[~batch.valid & (batch.index >= 0)]
    for batch in eval_batches(config, data, rows, _BATCH)
  ]
  return data.ids[np.concatenate(bad)].tolist()


def _some(names: list[str]) -> str:
  return count_and_names('', names).replace(' :', ':') if names else '0'
