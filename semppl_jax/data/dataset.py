"""An indexed split: which images there are, and what reads them."""

import glob
import hashlib
import os
from typing import Any, NamedTuple

from ml_collections import ConfigDict
import numpy as np

from semppl_jax.data.batch import UNLABELLED
from semppl_jax.data.sources.folder import read_folder
from semppl_jax.data.sources.tfrecord_index import Shard
from semppl_jax.runtime.errors import count_and_names

KINDS = ('embedded', 'tfds', 'folder', 'tfrecord', 'npz')
# What reads them: tf.data, or the devices once and for all, without TensorFlow.
BACKENDS = ('tfdata', 'device')
EMBEDDED = os.path.join(os.path.dirname(__file__), 'embedded')
EMBEDDED_CLASSES = (
    'airplane', 'automobile', 'bird', 'cat', 'deer',
    'dog', 'frog', 'horse', 'ship', 'truck',
)  # fmt: skip


class Dataset(NamedTuple):
  """The images of one split, in an order that does not change.

  Attributes:
    name: what it is called in messages.
    ids: an id of each image that outlives the order, str [n].
    labels: class of each image, int32 [n], or -1 where there is none.
    class_names: names of the classes, [C].
    source: what reads the images, `FileSource`, `RecordSource` or, where the
      devices hold them, `ArraySource`.
    masks: `masks.Masks` of a store of their own, or None.
  """

  name: str
  ids: np.ndarray
  labels: np.ndarray
  class_names: tuple[str, ...]
  source: Any
  masks: Any = None

  @property
  def size(self) -> int:
    """Number of images."""
    return len(self.ids)

  @property
  def fingerprint(self) -> str:
    """SHA-256 over ids and labels, in order."""
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
  """The images to learn from and those to be judged by, if there are any."""

  train: Dataset
  test: Dataset | None


def digest(ids: np.ndarray, labels: np.ndarray) -> str:
  """Returns the SHA-256 over ids and labels, in order."""
  sha = hashlib.sha256()
  sha.update('\n'.join(ids.tolist()).encode())
  sha.update(labels.astype('<i4').tobytes())
  return sha.hexdigest()


def load(config: ConfigDict) -> Splits:
  """Indexes the data that `config.data` asks for; reads no image.

  A hold-out comes off the labelled train images where there is no test set;
  `limit` cuts the train set after that.

  Raises:
    ValueError: unknown kind, or data that is absent or contradicts itself.
  """
  kinds = {
    'embedded': _embedded,
    'tfds': _tfds,
    'folder': _folder,
    'tfrecord': _tfrecord,
    'npz': _npz,
  }
  if config.kind not in kinds:
    raise ValueError(
      f'config.data.kind={config.kind!r} must be one of {KINDS}.'
    )
  train, test = kinds[config.kind](config)
  _check_same_classes(train, test)
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


def _embedded(config: ConfigDict) -> Splits:
  # One train and one test set, both whole.
  train, test = (
      _from_shards(
          config, f'embedded/{split}',
          [(os.path.join(EMBEDDED, f'{split}.tfrecord'),)],
          "config.data.kind='embedded'", EMBEDDED_CLASSES,
      )
      for split in ('train', 'test')
  )  # fmt: skip
  return Splits(train, test)


def _npz(config: ConfigDict) -> Splits:
  from semppl_jax.data.sources import npz

  def split(name: str, field: str) -> Dataset:
    found = npz.read(config[field], f'config.data.{field}')
    return Dataset(
      name, found.ids, found.labels, found.class_names, found.source
    )

  test = split('test', 'test_path') if config.test_path else None
  return Splits(split('train', 'path'), test)


def _tfds(config: ConfigDict) -> Splits:
  if config.backend == 'device':
    return _plain_tfds(config)
  from semppl_jax.data.sources import tfds

  builder = tfds.open_builder(config.name, config.path, 'config.data.name')
  names = tfds.class_names(builder)

  def split(field: str) -> Dataset:
    where = f'config.data.{field}'
    shards = tfds.split_shards(builder, config[field], where)
    name = f'{config.name}/{config[field]}'
    return _from_shards(config, name, shards, where, names)

  test = split('test_split') if config.test_split else None
  return Splits(split('train_split'), test)


def _plain_tfds(config: ConfigDict) -> Splits:
  from semppl_jax.data.sources import tfds_numpy

  found = tfds_numpy.open_prepared(config.name, config.path, 'config.data.name')

  def split(field: str) -> Dataset:
    where = f'config.data.{field}'
    shards = tfds_numpy.split_shards(found, config[field], where)
    name = f'{config.name}/{config[field]}'
    return _from_shards(config, name, shards, where, found.class_names)

  test = split('test_split') if config.test_split else None
  return Splits(split('train_split'), test)


def _tfrecord(config: ConfigDict) -> Splits:
  def split(field: str) -> Dataset:
    where = f'config.data.{field}={config[field]!r}'
    files = sorted(glob.glob(os.path.expanduser(config[field])))
    if not files:
      raise ValueError(f'{where} matches no file.')
    return _from_shards(config, field, [(file,) for file in files], where, ())

  test = split('test_path') if config.test_path else None
  return Splits(split('path'), test)


def _folder(config: ConfigDict) -> Splits:
  home = os.path.expanduser
  labels_file, test_path = home(config.labels_file), home(config.test_path)
  found = read_folder(home(config.path), labels_file)
  train = _from_folder('train', found)
  if not test_path:
    return Splits(train, None)
  # The test folder may have a labels file of the same name; the one of the
  # train folder speaks of other images.
  name = os.path.basename(labels_file)
  beside = os.path.join(test_path, name)
  test = read_folder(
    test_path,
    beside if name and os.path.exists(beside) else '',
    train.class_names,
    'config.data.test_path',
  )
  return Splits(train, _from_folder('test', test))


def _from_folder(name: str, folder: Any) -> Dataset:
  source, labels, class_names = folder
  return Dataset(name, source.paths, labels, class_names, source)


def _from_shards(
  config: ConfigDict,
  name: str,
  shards: Any,
  where: str,
  names: tuple[str, ...],
) -> Dataset:
  index = indexer(config)
  source, ids, labels = index([Shard(*s) for s in shards], where)
  _, first, counts = np.unique(ids, return_index=True, return_counts=True)
  repeated = ids[np.sort(first[counts > 1])]
  if len(repeated):
    raise ValueError(
      f'{where} has {count_and_names("id(s) that stand more than once", repeated)}.'
    )
  if not names:
    names = tuple(str(c) for c in range(int(labels.max(initial=-1)) + 1))
  if labels.max(initial=-1) >= len(names) or labels.min(initial=0) < UNLABELLED:
    raise ValueError(
      f'{where} has labels from {labels.min()} to {labels.max()}; allowed '
      f'are 0 to {len(names) - 1}, and -1 for no label.'
    )
  return Dataset(name, ids, labels, names, source)


def indexer(config: ConfigDict) -> Any:
  """Returns the `index_records` of `config.data.backend`."""
  if config.backend == 'device':
    from semppl_jax.data.sources import tfrecord_numpy as reader
  else:
    from semppl_jax.data.sources import tfrecord_tf as reader
  return reader.index_records


def _check_same_classes(train: Dataset, test: Dataset | None) -> None:
  if test is None or train.class_names == test.class_names:
    return
  if len(test.class_names) > len(train.class_names):
    raise ValueError(
      f'The test set has {len(test.class_names)} classes and the train set '
      f'{len(train.class_names)}; config.data must name sets of the same '
      'classes.'
    )


def _hold_out(config: ConfigDict, train: Dataset) -> Splits:
  """Moves a class-balanced share of the labelled images to a test set."""
  share = config.test_holdout
  if not 0 < share < 1:
    raise ValueError(
      f'config.data.test_holdout={share} must be at least 0 and below 1.'
    )
  rng = np.random.default_rng([config.labels_seed, 1])
  held = []
  for c in np.unique(train.labels[train.labels != UNLABELLED]):
    rows = rng.permutation(np.flatnonzero(train.labels == c))
    # One of each class on either side, if the class has two images.
    count = min(max(round(share * len(rows)), 1), len(rows) - 1)
    held.append(rows[:count])
  if not held:
    raise ValueError(
      f'config.data.test_holdout={share} needs labelled images, and '
      f'{train.name!r} has none.'
    )
  test = np.sort(np.concatenate(held))
  if not len(test):
    raise ValueError(
      f'config.data.test_holdout={share} leaves no test image, since no class '
      'has two labelled ones; set it to 0 or label more.'
    )
  rest = np.setdiff1d(np.arange(train.size), test)
  return Splits(
    train.select(rest), train.select(test)._replace(name='hold-out')
  )
