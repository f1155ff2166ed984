"""What one pass over the records of a data set found, kept for the next start.

The file is named by the names, sizes and times of the record files, and by
the version of what is kept.
"""

from collections.abc import Sequence
import contextlib
import hashlib
import json
import os
from typing import Any
import zipfile

import numpy as np

from semppl_jax.data.tf.runtime import tf
from semppl_jax.runtime import cache
from semppl_jax.runtime.errors import unreadable_file
from semppl_jax.runtime.files import atomic_write

_INDEX_VERSION = 2


def cache_file(shards: Sequence[Any], where: str) -> str:
  """Returns where the index of these shards is kept.

  Args:
    shards: runs of records, see `records.Shard`.
    where: field and value, for messages.

  Raises:
    ValueError: a file is absent.
  """
  stats = []
  for shard in shards:
    try:
      stats.append(tf.io.gfile.stat(shard.file))
    except tf.errors.OpError as error:
      raise unreadable_file(where, shard.file, error) from error
  key = [_INDEX_VERSION] + [
    (*shard, stat.length, stat.mtime_nsec)
    for shard, stat in zip(shards, stats, strict=True)
  ]
  digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()
  return os.path.join(cache.cache_dir(), f'index_{digest[:32]}.npz')


def load(file: str) -> dict[str, np.ndarray] | None:
  """Returns what was saved, or None where that cannot be read."""
  try:
    with np.load(file) as content:
      return dict(content)
  except (OSError, ValueError, EOFError, zipfile.BadZipFile):
    return None


def save(file: str, content: dict[str, Any]) -> None:
  """Writes the arrays of an index, if the folder can be written to."""
  # A cache that cannot be written costs a pass at the next start, no more.
  with contextlib.suppress(OSError):
    os.makedirs(os.path.dirname(file), exist_ok=True)
    with atomic_write(file) as temporary, temporary.open('wb') as stream:
      np.savez(stream, **content)
