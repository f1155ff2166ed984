"""Data sets of tensorflow_datasets, downloaded and prepared where missing."""

import difflib
import logging
import os
from typing import Any, NamedTuple

import numpy as np

from semppl_jax.data.sources.tfrecord_index import Shard
from semppl_jax.data.sources.tfrecord_tf import records
from semppl_jax.data.tf.runtime import tf
from semppl_jax.runtime.errors import first_line

_log = logging.getLogger(__name__)
# tfds.core.DatasetBuilder; the module is slow to import, and has no types.
Builder = Any
# All classes of an image in VOC, and those of which it has an object that is
# not marked as difficult.
_ALL, _CLEAR = 'labels', 'labels_no_difficult'


def open_builder(name: str, data_dir: str, field: str) -> Builder:
  """Returns the builder of a data set, prepared.

  Args:
    name: TFDS name, such as `cifar10` or `imagenet2012_subset/10pct`.
    data_dir: folder of prepared data sets; '' for the default of TFDS.
    field: the config field of the name, for messages.

  Raises:
    ValueError: unknown name (with similar ones), or it cannot be prepared.
  """
  import tensorflow_datasets as tfds

  where = f'{field}={name!r}'
  try:
    builder = tfds.builder(name, data_dir=os.path.expanduser(data_dir) or None)
  except tfds.core.DatasetNotFoundError as error:
    known = tfds.list_builders(with_community_datasets=False)
    if data_dir and os.path.isdir(data_dir):
      known = [*known, *os.listdir(data_dir)]
    near = difflib.get_close_matches(name.split('/')[0], known, n=3, cutoff=0.6)
    hint = f'; did you mean {" or ".join(map(repr, near))}?' if near else '.'
    raise ValueError(
      f'{where} is not a data set that tensorflow_datasets knows or that '
      f'config.data.path={data_dir!r} holds{hint}'
    ) from error
  except (ValueError, AssertionError) as error:
    raise ValueError(f'{where} cannot be opened: {_sentence(error)}') from error
  if not builder.info.splits:
    _log.info('Preparing %s in %s.', name, builder.data_dir)
    try:
      builder.download_and_prepare()
    # A download fails in many ways: network, license, space, checksum.
    except Exception as error:
      raise ValueError(
        f'{where} is not prepared in config.data.path={data_dir!r} (or the '
        'default folder of tensorflow_datasets) and could not be downloaded: '
        f'{_sentence(error)}'
      ) from error
  return builder


def split_shards(builder: Builder, split: str, field: str) -> list[Shard]:
  """Returns the shards of a split such as `train` or `train[:10%]`.

  Raises:
    ValueError: the data set has no such split, or is not in TFRecord files.
  """
  where = f'{field}={split!r}'
  try:
    instructions = builder.info.splits[split].file_instructions
  except (KeyError, ValueError, AssertionError) as error:
    raise ValueError(
      f'{where} is not a split of {builder.info.full_name}, which has '
      f'{sorted(builder.info.splits)}.'
    ) from error
  if getattr(builder.info.file_format, 'value', 'tfrecord') != 'tfrecord':
    raise ValueError(
      f'{builder.info.full_name} is stored as {builder.info.file_format}; '
      'only tfrecord can be read.'
    )
  return [
    Shard(str(part.filename), int(part.skip), int(part.take))
    for part in instructions
  ]


def class_names(builder: Builder) -> tuple[str, ...]:
  """Returns the class names, or () for a data set without them."""
  features = builder.info.features
  if 'label' not in features:
    return ()
  return tuple(getattr(features['label'], 'names', None) or ())


class MultiLabels(NamedTuple):
  """Labels of images that show several classes.

  Attributes:
    labels: int8 [n, C], 1 for a class in the image, 0 for a class that is not,
      and -1 for one whose objects are all marked as difficult, which the VOC
      challenge counts neither way.
    class_names: names of the classes, [C].
  """

  labels: np.ndarray
  class_names: tuple[str, ...]


def read_multi_labels(builder: Builder, split: str) -> MultiLabels:
  """Reads the labels of a split of VOC, in the order of its index.

  Args:
    builder: a prepared data set, from `open_builder`.
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
    hot = np.concatenate([_multi_hot(s, len(names), where) for s in shards])
  except tf.errors.OpError as error:
    reason = first_line(error).split(' [Op:')[0]
    raise ValueError(f'{where} cannot be read: {reason}.') from error
  listed, clear = hot[:, 0], hot[:, 1]
  labels = np.where(clear, 1, np.where(listed, -1, 0)).astype(np.int8)
  return MultiLabels(labels, names)


def _multi_hot(shard: Shard, classes: int, where: str) -> np.ndarray:
  """Returns the classes of `_ALL` and `_CLEAR` of records, bool [n, 2, C]."""
  spec = {key: tf.io.RaggedFeature(tf.int64) for key in (_ALL, _CLEAR)}
  parts = [np.zeros((0, 2, classes), bool)]
  for batch in records(*shard).batch(1024):
    features = tf.io.parse_example(batch, spec)
    part = np.zeros((int(batch.shape[0]), 2, classes), bool)
    for column, key in enumerate((_ALL, _CLEAR)):
      row = features[key].value_rowids().numpy()
      label = features[key].values.numpy()
      if len(label) and not 0 <= label.min() <= label.max() < classes:
        raise ValueError(
          f'{where} has labels from {label.min()} to {label.max()}; allowed '
          f'are 0 to {classes - 1}.'
        )
      part[row, column, label] = True
    parts.append(part)
  return np.concatenate(parts)


def _sentence(error: BaseException) -> str:
  """Returns the message on one line, steps of a manual download included."""
  text = ' '.join(str(error).split()) or type(error).__name__
  return text[:600].rstrip('.') + '.'
