"""What a store of masks says of itself, and which files it has.

Apart from `mask_store`, which makes them: a run that takes masks may be without
TensorFlow.
"""

from collections.abc import Sequence
import hashlib
import json
import os
from typing import Any, NamedTuple

import numpy as np

from semppl_jax.data.sources.tfrecord_index import Keys, Shard

FILE = 'masks.json'
KEYS = Keys(image='mask', label='', id='id', mask='')
FORMAT = 1
_SHARDS, _SMALLEST, _LARGEST = 64, 16, 1024


class Counts(NamedTuple):
  """What a finished store holds.

  Attributes:
    masks: images that have a mask.
    background: masks without foreground; they are not applied.
    foreground: masks without background; nor are they.
    mean_coverage: share of foreground, mean over the masks, in [0, 1].
    checksum: SHA-256 over all records.
  """

  masks: int
  background: int
  foreground: int
  mean_coverage: float
  checksum: str


class Facts(NamedTuple):
  """What `masks.json` says.

  Attributes:
    data: what the images are called, for people.
    images: their number n.
    ids: `fingerprint` of their ids.
    maker: what made the masks, with its settings and version.
    counts: what came of it, or None while it is being made.
  """

  data: str
  images: int
  ids: str
  maker: dict[str, Any]
  counts: Counts | None = None


def fingerprint(ids: Sequence[str] | np.ndarray) -> str:
  """Returns the SHA-256 over ids, in order."""
  return hashlib.sha256('\n'.join(map(str, ids)).encode()).hexdigest()


def pieces(images: int) -> list[range]:
  """Returns the images of each file: 64 files, of 16 to 1,024 images each."""
  size = min(max(-(-images // _SHARDS), _SMALLEST), _LARGEST)
  return [
    range(first, min(first + size, images)) for first in range(0, images, size)
  ]


def shard_file(folder: str, images: int, number: int) -> str:
  """Returns where the masks of `pieces(images)[number]` are."""
  count = len(pieces(images))
  return os.path.join(folder, f'masks-{number:05d}-of-{count:05d}.tfrecord')


def shards(folder: str, images: int) -> list[Shard]:
  """Returns all files of a store for so many images, in order."""
  count = len(pieces(images))
  return [Shard(shard_file(folder, images, number)) for number in range(count)]


def read(folder: str, where: str) -> Facts | None:
  """Reads `masks.json`; None where there is none.

  Args:
    folder: the store.
    where: field or flag and value, for messages.

  Raises:
    ValueError: it cannot be read, or is of another format.
  """
  path = os.path.join(folder, FILE)
  try:
    content = json.loads(_text(path))
  except FileNotFoundError:
    return None
  except (OSError, json.JSONDecodeError) as error:
    raise ValueError(f'{where}: {path!r} cannot be read: {error}.') from error
  try:
    found = content.pop('format')
    if found != FORMAT:
      raise ValueError(
        f'{where}: {FILE} is of format {found}, and this program reads format'
        f' {FORMAT}.'
      )
    counts = content.pop('counts')
    return Facts(**content, counts=counts and Counts(**counts))
  except (KeyError, TypeError, AttributeError) as error:
    raise ValueError(f'{where}: {path!r} cannot be read: {error}.') from error


def _text(path: str) -> str:
  """Reads a file of a disk, or of an object store by TensorFlow."""
  if '://' not in path:
    with open(path, encoding='utf-8') as stream:
      return stream.read()
  from semppl_jax.data.tf.runtime import tf

  try:
    with tf.io.gfile.GFile(path) as stream:
      return stream.read()
  except tf.errors.NotFoundError as error:
    raise FileNotFoundError(path) from error
  except tf.errors.OpError as error:
    raise OSError(str(error)) from error
