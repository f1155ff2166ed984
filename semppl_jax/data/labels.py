"""Which train images keep their label.

The choice is made on the whole train set, before it is split over processes,
so that every process sees the same classes in the same shares.
"""

from collections.abc import Callable
import os
from typing import NamedTuple

from ml_collections import ConfigDict
import numpy as np

from semppl_jax.data.batch import UNLABELLED
from semppl_jax.data.dataset import Dataset, digest
from semppl_jax.runtime.errors import count_and_names, raise_if_any

FORMS = (
  'all',
  'fraction:SHARE',
  'per_class:COUNT',
  'ids:FILE',
  'tfds:NAME',
)
# Where the labels of a kind of data set come from.
_REMEDY = {
  'folder': 'give class sub-folders or config.data.labels_file',
  'tfrecord': "a record has its label as 'label' or 'image/class/label'",
}


class LabelSubset(NamedTuple):
  """The images whose label the run may know.

  Attributes:
    index: their positions in the train set, ascending int32 [m].
    hash: SHA-256 over their ids and labels.
  """

  index: np.ndarray
  hash: str


NONE = LabelSubset(np.zeros(0, np.int32), '')


def select(config: ConfigDict, train: Dataset) -> LabelSubset:
  """Chooses the images that `config.data.labels` asks for.

  `fraction:` and `per_class:` take the same number from each class (the same
  share, at least one), drawn with `labels_seed`.

  Args:
    config: `config.data`.
    train: the train set.

  Raises:
    ValueError: unknown form, a class left without a label, more labels asked
      for than a class has, or ids that the train set has not.
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
    index = _draw(
      config, train, lambda size: max(min(round(share * size), size), 1)
    )
  elif form == 'per_class':
    index = _per_class(config, train, _number(value, int, where), where)
  elif form in ('ids', 'tfds') and value:
    ids = (
      _file_ids(value, where)
      if form == 'ids'
      else _tfds_ids(value, config.path if config.kind == 'tfds' else '')
    )
    index = _find(ids, train, where)
  else:
    raise ValueError(f'{where} must be one of {", ".join(FORMS)}.')
  _check_classes(index, train, where)
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


def _per_class(
  config: ConfigDict, train: Dataset, count: float, where: str
) -> np.ndarray:
  if count < 1:
    raise ValueError(f'{where} must be at least 1.')
  sizes = np.bincount(
    train.labels[train.labels != UNLABELLED], minlength=len(train.class_names)
  )
  short = [
    f'{name} ({size})'
    for name, size in zip(train.class_names, sizes, strict=True)
    if size < count
  ]
  raise_if_any([count_and_names('class(es) with fewer images', short)] * bool(short), where)
  return _draw(config, train, lambda size: int(count))


def _draw(
  config: ConfigDict, train: Dataset, count_of: Callable[[int], int]
) -> np.ndarray:
  rng = np.random.default_rng(config.labels_seed)
  chosen = []
  for c in range(len(train.class_names)):
    rows = np.flatnonzero(train.labels == c)
    if len(rows):
      chosen.append(rng.permutation(rows)[: count_of(len(rows))])
  return np.sort(np.concatenate(chosen))


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
  found = tfrecord_tf.index_records(shards, f'config.data.labels=tfds:{name}')
  return found.ids.tolist()


def _find(ids: list[str], train: Dataset, where: str) -> np.ndarray:
  """Positions of ids, which may also be file names without their folders."""
  position = {name: row for row, name in enumerate(train.ids.tolist())}
  by_name = _unique_names(train.ids)
  rows = {name: position.get(name, by_name.get(name, -1)) for name in ids}
  seen: set[int] = set()
  unknown, repeated, bare = [], [], []
  for name in ids:
    row = rows[name]
    if row < 0:
      unknown.append(name)
    elif row in seen:
      repeated.append(name)
    elif train.labels[row] == UNLABELLED:
      bare.append(name)
    seen.add(row)
  problems = [
    count_and_names(what, names)
    for what, names in (
      ('unknown id(s)', unknown),
      ('repeated id(s)', repeated),
      ('id(s) of images without a label', bare),
    )
    if names
  ]
  if not ids:
    problems.append('no ids')
  raise_if_any(problems, where)
  return np.sort(np.fromiter(seen, np.int64))


def _unique_names(ids: np.ndarray) -> dict[str, int]:
  """Row of each file name that stands in one folder only."""
  names: dict[str, int] = {}
  for row, path in enumerate(ids.tolist()):
    name = path.rsplit('/', 1)[-1]
    names[name] = -1 if name in names else row
  return names


def _check_classes(index: np.ndarray, train: Dataset, where: str) -> None:
  counts = np.bincount(train.labels[index], minlength=len(train.class_names))
  without = [
    name
    for name, count in zip(train.class_names, counts, strict=True)
    if not count
  ]
  raise_if_any(
    [count_and_names('class(es) without a labelled image', without)] * bool(without),
    where,
  )
