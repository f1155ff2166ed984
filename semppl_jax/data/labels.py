"""Label subsets: train images whose label the run may know.

They are chosen from the whole train set, before it is split over processes, so
that every process sees the same classes in the same shares.
"""

from collections.abc import Callable
import os
from typing import NamedTuple

from ml_collections import ConfigDict
import numpy as np

from semppl_jax.data.batch import UNLABELLED
from semppl_jax.data.dataset import Dataset, digest
from semppl_jax.runtime.errors import raise_if_any

FORMS = ('all', 'fraction:SHARE', 'per_class:COUNT', 'ids:FILE', 'tfds:NAME')
# How to label a kind of data set.
_REMEDY = {
  'folder': 'give class sub-folders or config.data.labels_file',
  'tfrecord': "a record has its label as 'label' or 'image/class/label'",
}


class LabelSubset(NamedTuple):
  """The images whose label the run may know.

  Attributes:
    index: their positions in the train set, ascending int32 [m].
    hash: SHA-256 of their ids and labels.
  """

  index: np.ndarray
  hash: str


NONE = LabelSubset(np.zeros(0, np.int32), '')


def select(config: ConfigDict, train: Dataset) -> LabelSubset:
  """Chooses the images of `config.data.labels`.

  `fraction:` and `per_class:` take the same number from each class (the same
  share, at least one), drawn with `labels_seed`.

  Args:
    config: `config.data`.
    train: the train set.

  Raises:
    ValueError: unknown form, a class left without a label, more labels than a
      class has, or unknown ids.
  """
  where = f'config.data.labels={config.labels!r}'
  form, _, value = config.labels.partition(':')
  labelled = train.labels != UNLABELLED
  if not labelled.any():
    raise ValueError(
      f'{where} needs labelled images, and {train.name!r} has none among its '
      f'{train.size}; {_REMEDY.get(config.kind, "take another data set")}.'
    )
  if form == 'all' and not value:
    index = np.flatnonzero(labelled)
  elif form == 'fraction':
    share = _number(value, float, where)
    if not 0 < share <= 1:
      raise ValueError(f'{where} must be a share above 0 and at most 1.')
    index = _sample(
      config, train, lambda size: max(min(round(share * size), size), 1)
    )
  elif form == 'per_class':
    index = _per_class(config, train, int(_number(value, int, where)), where)
  elif form == 'ids' and value:
    index = _positions(_file_ids(value, where), train, where)
  elif form == 'tfds' and value:
    data_dir = config.path if config.kind == 'tfds' else ''
    index = _positions(_tfds_ids(value, data_dir), train, where)
  else:
    raise ValueError(f'{where} must be one of {", ".join(FORMS)}.')
  sizes = _class_sizes(train, index)
  without = [name for name, size in sizes if not size]
  raise_if_any({'class(es) without a labelled image': without}, where)
  index = index.astype(np.int32)
  return LabelSubset(index, digest(train.ids[index], train.labels[index]))


def write_ids(
  path: str | os.PathLike, subset: LabelSubset, train: Dataset
) -> None:
  """Writes the ids of the subset, one per line, as `ids:FILE` reads them."""
  with open(path, 'w', encoding='utf-8') as file:
    file.writelines(f'{name}\n' for name in train.ids[subset.index])


def _number(value: str, kind: type, where: str) -> float:
  try:
    return kind(value)
  except ValueError as error:
    raise ValueError(f'{where} must end in a number.') from error


def _class_sizes(train: Dataset, rows: np.ndarray) -> list[tuple[str, int]]:
  """Returns name and size of each class among `rows` (labelled, int [m])."""
  sizes = np.bincount(train.labels[rows], minlength=len(train.class_names))
  return [*zip(train.class_names, sizes.tolist(), strict=True)]


def _per_class(
  config: ConfigDict, train: Dataset, count: int, where: str
) -> np.ndarray:
  if count < 1:
    raise ValueError(f'{where} must be at least 1.')
  sizes = _class_sizes(train, np.flatnonzero(train.labels != UNLABELLED))
  short = [f'{name} ({size})' for name, size in sizes if size < count]
  raise_if_any({'class(es) with fewer images': short}, where)
  return _sample(config, train, lambda size: count)


def _sample(
  config: ConfigDict, train: Dataset, count_of: Callable[[int], int]
) -> np.ndarray:
  rng = np.random.default_rng(config.labels_seed)
  sampled = []
  for c in range(len(train.class_names)):
    rows = np.flatnonzero(train.labels == c)
    if len(rows):
      sampled.append(rng.permutation(rows)[: count_of(len(rows))])
  return np.sort(np.concatenate(sampled))


def _file_ids(file: str, where: str) -> list[str]:
  try:
    with open(os.path.expanduser(file), encoding='utf-8-sig') as stream:
      lines = [line.strip() for line in stream]
  except (OSError, UnicodeDecodeError) as error:
    raise ValueError(f'{where}: the file cannot be read: {error}.') from error
  return [line for line in lines if line]


def _tfds_ids(name: str, data_dir: str) -> list[str]:
  from semppl_jax.data.sources import tfds, tfrecord_tf

  builder = tfds.open_builder(name, data_dir, 'config.data.labels')
  shards = tfds.split_shards(builder, 'train', 'config.data.labels')
  index = tfrecord_tf.index_records(shards, f'config.data.labels=tfds:{name}')
  return index.ids.tolist()


def _positions(ids: list[str], train: Dataset, where: str) -> np.ndarray:
  """Returns positions of ids, which may be file names without their folders."""
  position = {name: row for row, name in enumerate(train.ids.tolist())}
  by_name = _unique_names(train.ids)
  rows = [position.get(name, by_name.get(name, -1)) for name in ids]
  seen: set[int] = set()
  unknown, repeated, unlabelled = [], [], []
  for name, row in zip(ids, rows, strict=True):
    if row < 0:
      unknown.append(name)
    elif row in seen:
      repeated.append(name)
    elif train.labels[row] == UNLABELLED:
      unlabelled.append(name)
    seen.add(row)
  raise_if_any(
    {
      'unknown id(s)': unknown,
      'repeated id(s)': repeated,
      'id(s) of images without a label': unlabelled,
    },
    where,
    *([] if ids else ['no ids']),
  )
  return np.sort(np.fromiter(seen, np.int64))


def _unique_names(ids: np.ndarray) -> dict[str, int]:
  """Returns the row of each file name that is in one folder only."""
  names: dict[str, int] = {}
  for row, path in enumerate(ids.tolist()):
    name = path.rsplit('/', 1)[-1]
    names[name] = -1 if name in names else row
  return names
