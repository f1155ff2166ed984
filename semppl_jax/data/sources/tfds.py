"""Data sets prepared by tensorflow_datasets."""

import difflib
import logging
import os
from typing import Any

from semppl_jax.data.sources.tfrecord_index import Shard

_log = logging.getLogger(__name__)


def open_builder(name: str, data_dir: str, field: str) -> Any:
  """Returns the builder of a data set, prepared.

  Args:
    name: TFDS name, such as `cifar10` or `imagenet2012_subset/10pct`.
    data_dir: folder of prepared data sets; '' for TFDS's own.
    field: the config field that names it, for messages.

  Raises:
    ValueError: unknown name (with near ones), or it cannot be prepared.
  """
  import tensorflow_datasets as tfds  # Slow to import, and optional.

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
    _prepare(builder, where, data_dir)
  return builder


def split_shards(builder: Any, split: str, field: str) -> list[Shard]:
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


def class_names(builder: Any) -> tuple[str, ...]:
  """Returns the class names, or () where the data set has none."""
  features = builder.info.features
  if 'label' not in features:
    return ()
  return tuple(getattr(features['label'], 'names', None) or ())


def _prepare(builder: Any, where: str, data_dir: str) -> None:
  try:
    builder.download_and_prepare()
  # A download fails in any way: no network, no licence, no space, no checksum.
  except Exception as error:
    raise ValueError(
      f'{where} is not prepared in config.data.path={data_dir!r} (or the '
      'default folder of tensorflow_datasets) and could not be downloaded: '
      f'{_sentence(error)}'
    ) from error


def _sentence(error: BaseException) -> str:
  """The message on one line, instructions for a manual download included."""
  text = ' '.join(str(error).split()) or type(error).__name__
  return text[:600].rstrip('.') + '.'
