"""Data sets: splits with ids and labels, and a source of their images."""

from collections.abc import Callable, Mapping, Sequence
import glob
import hashlib
import os
from typing import Any, NamedTuple

from ml_collections import ConfigDict
import numpy as np

from semppl_jax.data.batch import UNLABELLED
from semppl_jax.data.sources.folder import read_folder
from semppl_jax.data.sources.tfrecord_index import RecordIndex, Shard
from semppl_jax.runtime.errors import raise_if_any

# Input by tf.data, or decoded once onto the devices, without TensorFlow.
BACKENDS = ('tfdata', 'device')
EMBEDDED = os.path.join(os.path.dirname(__file__), 'embedded')
# The default of `config.data.name` is a set of TFDS; older runs have it.
_NO_NAME = ('', 'imagenet2012')
# Folder of each embedded set, and its classes.
_EMBEDDED_SETS = {
    'cifar10': ('', (
        'airplane', 'automobile', 'bird', 'cat', 'deer',
        'dog', 'frog', 'horse', 'ship', 'truck',
    )),
    'sign_digits': ('sign_digits', tuple('0123456789')),
}  # fmt: skip


class Dataset(NamedTuple):
  """The images of one split, in a fixed order.

  Attributes:
    name: its name in messages.
    ids: permanent id of each image, str [n].
    labels: class of each image, int32 [n], -1 for an unlabelled image.
    class_names: names of the classes, [C].
    source: reader of the images: `FileSource`, `RecordSource` or, for the
      device backend, `ArraySource`.
    masks: index of a mask store, `masks.MaskIndex`, or None.
  """

  name: str
  ids: np.ndarray
  labels: np.ndarray
  class_names: tuple[str, ...]
  source: Any
  masks: Any = None

  @property
  def size(self) -> int:
    """Returns the number of images."""
    return len(self.ids)

  @property
  def fingerprint(self) -> str:
    """Returns the SHA-256 of ids and labels, in order."""
    return digest(self.ids, self.labels)

  def select(self, rows: np.ndarray) -> 'Dataset':
    """Returns the split of `rows` (ascending int [m]) alone."""
    return self._replace(
      ids=self.ids[rows],
      labels=self.labels[rows],
      source=self.source.select(rows),
      masks=self.masks and self.masks.select(rows),
    )


class Splits(NamedTuple):
  """Train and test set; the test set is optional."""

  train: Dataset
  test: Dataset | None


def digest(ids: np.ndarray, labels: np.ndarray) -> str:
  """Returns the SHA-256 of ids and labels, in order."""
  sha = hashlib.sha256()
  sha.update('\n'.join(ids.tolist()).encode())
  sha.update(labels.astype('<i4').tobytes())
  return sha.hexdigest()


def load(config: ConfigDict) -> Splits:
  """Indexes the data of `config.data`; reads no image.

  `test_holdout` takes labelled train images where there is no test set; `limit`
  cuts the train set after that.

  Raises:
    ValueError: unknown kind, or data that is missing or inconsistent.
  """
  if config.kind not in LOADERS:
    raise ValueError(
      f'config.data.kind={config.kind!r} must be one of {KINDS}.'
    )
  train, test = LOADERS[config.kind](config)
  if test is not None and len(test.class_names) > len(train.class_names):
    raise ValueError(
      f'The test set has {len(test.class_names)} classes and the train set '
      f'{len(train.class_names)}; config.data must name sets of the same '
      'classes.'
    )
  if config.test_holdout:
    if test is not None:
      raise ValueError(
        f'config.data.test_holdout={config.test_holdout} is for data without a '
        f'test set, and there is {test.name!r}; set it to 0, or leave '
        'test_split and test_path empty.'
      )
    train, test = _hold_out(config, train)
  if config.limit:
    train = train.select(np.arange(min(config.limit, train.size)))
  return Splits(train, test)


def indexer(config: ConfigDict) -> Callable[..., RecordIndex]:
  """Returns the `index_records` of `config.data.backend`."""
  if config.backend == 'device':
    from semppl_jax.data.sources import tfrecord_numpy as reader
  else:
    from semppl_jax.data.sources import tfrecord_tf as reader
  return reader.index_records


def _load_embedded(config: ConfigDict) -> Splits:
  name = config.get('name', '')
  if name in _NO_NAME:
    name = 'cifar10'
  if name not in _EMBEDDED_SETS:
    raise ValueError(
      f'config.data.name={name!r} must be one of {", ".join(_EMBEDDED_SETS)}'
      " where config.data.kind='embedded'."
    )
  folder, classes = _EMBEDDED_SETS[name]
  where = "config.data.kind='embedded'"
  return Splits(*(
      _index_shards(
          config, '/'.join(filter(None, ('embedded', folder, split))),
          [Shard(os.path.join(EMBEDDED, folder, f'{split}.tfrecord'))],
          where, classes,
      )
      for split in ('train', 'test')
  ))  # fmt: skip


def _load_npz(config: ConfigDict) -> Splits:
  from semppl_jax.data.sources import npz

  def split(name: str, field: str) -> Dataset:
    return Dataset(name, *npz.read(config[field], f'config.data.{field}'))

  test = split('test', 'test_path') if config.test_path else None
  return Splits(split('train', 'path'), test)


def _load_tfds(config: ConfigDict) -> Splits:
  if config.backend == 'device':
    from semppl_jax.data.sources import tfds_numpy as reader
  else:
    from semppl_jax.data.sources import tfds as reader
  builder = reader.open_builder(config.name, config.path, 'config.data.name')

  def split(field: str) -> Dataset:
    where = f'config.data.{field}'
    shards = reader.split_shards(builder, config[field], where)
    name = f'{config.name}/{config[field]}'
    return _index_shards(
      config, name, shards, where, reader.class_names(builder)
    )

  test = split('test_split') if config.test_split else None
  return Splits(split('train_split'), test)


def _load_tfrecord(config: ConfigDict) -> Splits:
  def split(field: str) -> Dataset:
    where = f'config.data.{field}={config[field]!r}'
    files = sorted(glob.glob(os.path.expanduser(config[field])))
    if not files:
      raise ValueError(f'{where} matches no file.')
    return _index_shards(config, field, [*map(Shard, files)], where, ())

  test = split('test_path') if config.test_path else None
  return Splits(split('path'), test)


def _load_folder(config: ConfigDict) -> Splits:
  path, test_path, labels_file = map(
    os.path.expanduser, (config.path, config.test_path, config.labels_file)
  )
  source, labels, names = read_folder(path, labels_file)
  train = Dataset('train', source.paths, labels, names, source)
  if not test_path:
    return Splits(train, None)
  # The labels file of the test folder has the same name; that of the train
  # folder lists other images.
  name = os.path.basename(labels_file)
  beside = os.path.join(test_path, name)
  source, labels, names = read_folder(
    test_path,
    beside if name and os.path.exists(beside) else '',
    names,
    'config.data.test_path',
  )
  return Splits(train, Dataset('test', source.paths, labels, names, source))


def _index_shards(
  config: ConfigDict,
  name: str,
  shards: Sequence[Shard],
  where: str,
  class_names: tuple[str, ...],
) -> Dataset:
  source, ids, labels = indexer(config)(shards, where)
  _, first, counts = np.unique(ids, return_index=True, return_counts=True)
  repeated = ids[np.sort(first[counts > 1])]
  raise_if_any({'repeated id(s)': repeated.tolist()}, where)
  if not class_names:
    class_names = tuple(map(str, range(int(labels.max(initial=-1)) + 1)))
  if (
    labels.max(initial=-1) >= len(class_names)
    or labels.min(initial=0) < UNLABELLED
  ):
    raise ValueError(
      f'{where} has labels from {labels.min()} to {labels.max()}; allowed '
      f'are 0 to {len(class_names) - 1}, and -1 for no label.'
    )
  return Dataset(name, ids, labels, class_names, source)


def _hold_out(config: ConfigDict, train: Dataset) -> Splits:
  """Moves a class-balanced share of the labelled images to a test set."""
  share = config.test_holdout
  where = f'config.data.test_holdout={share}'
  if not 0 < share < 1:
    raise ValueError(f'{where} must be at least 0 and below 1.')
  rng = np.random.default_rng([config.labels_seed, 1])
  held = []
  for c in np.unique(train.labels[train.labels != UNLABELLED]):
    rows = rng.permutation(np.flatnonzero(train.labels == c))
    # One of each class on either side, if the class has two images.
    count = min(max(round(share * len(rows)), 1), len(rows) - 1)
    held.append(rows[:count])
  if not held:
    raise ValueError(
      f'{where} needs labelled images, and {train.name!r} has none.'
    )
  test = np.sort(np.concatenate(held))
  if not len(test):
    raise ValueError(
      f'{where} leaves no test image, since no class has two labelled ones; '
      'set it to 0 or label more.'
    )
  rest = np.setdiff1d(np.arange(train.size), test)
  return Splits(
    train.select(rest), train.select(test)._replace(name='hold-out')
  )


# Loader of each `config.data.kind`.
LOADERS: Mapping[str, Callable[[ConfigDict], Splits]] = {
  'embedded': _load_embedded,
  'tfds': _load_tfds,
  'folder': _load_folder,
  'tfrecord': _load_tfrecord,
  'npz': _load_npz,
}
KINDS = tuple(LOADERS)
