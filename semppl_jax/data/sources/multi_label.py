"""Labels of images that show several classes, as VOC in tensorflow_datasets."""

from typing import Any, NamedTuple

import numpy as np

from semppl_jax.data.sources.tfds import split_shards
from semppl_jax.data.sources.tfrecord_index import Shard
from semppl_jax.data.sources.tfrecord_tf import records
from semppl_jax.data.tf.runtime import tf

# All classes of an image, and those of which it has an object that is not
# marked as difficult.
_ALL, _CLEAR = 'labels', 'labels_no_difficult'


class MultiLabels(NamedTuple):
  """Which classes the images of a split show.

  Attributes:
    labels: int8 [n, C], 1 where the image shows the class, 0 where it does
      not, and -1 where all that it shows of it is marked as difficult, which
      the VOC challenge counts neither way.
    class_names: names of the classes, [C].
  """

  labels: np.ndarray
  class_names: tuple[str, ...]


def read_multi_labels(builder: Any, split: str) -> MultiLabels:
  """Reads the labels of a split, in the order of its index.

  Args:
    builder: a prepared data set, from `tfds.open_builder`.
    split: such as `test` or `train+validation`.

  Raises:
    ValueError: the records have no such labels, or cannot be read.
  """
  where = f'{builder.info.full_name}, split {split!r},'
  features = builder.info.features
  missing = [key for key in (_ALL, _CLEAR) if key not in features]
  if missing:
    raise ValueError(
      f'{where} has features {sorted(features)}, and not {missing}, which hold '
      'the classes of an image.'
    )
  names = tuple(features[_ALL].feature.names)
  shards = split_shards(builder, split, 'split')
  try:
    shown = np.concatenate([_multi_hot(s, len(names), where) for s in shards])
  except tf.errors.OpError as error:
    reason = str(error).split('\n')[0].split(' [Op:')[0]
    raise ValueError(f'{where} cannot be read: {reason}.') from error
  listed, clear = shown[:, 0], shown[:, 1]
  labels = np.where(clear, 1, np.where(listed, -1, 0)).astype(np.int8)
  return MultiLabels(labels, names)


def _multi_hot(shard: Shard, classes: int, where: str) -> np.ndarray:
  """Whether each record lists each class, bool [n, 2, C]."""
  wanted = {key: tf.io.RaggedFeature(tf.int64) for key in (_ALL, _CLEAR)}
  parts = [np.zeros((0, 2, classes), bool)]
  for batch in records(*shard).batch(1024):
    found: Any = tf.io.parse_example(batch, wanted)
    part = np.zeros((int(batch.shape[0]), 2, classes), bool)
    for column, key in enumerate((_ALL, _CLEAR)):
      row, label = found[key].value_rowids().numpy(), found[key].values.numpy()
      _check(label, classes, where)
      part[row, column, label] = True
    parts.append(part)
  return np.concatenate(parts)


def _check(label: np.ndarray, classes: int, where: str) -> None:
  if len(label) and not 0 <= label.min() <= label.max() < classes:
    raise ValueError(
      f'{where} has labels from {label.min()} to {label.max()}; allowed are 0 '
      f'to {classes - 1}.'
    )
