"""A store of masks: TFRecord files, and beside them `masks.json`.

Each record is a `tf.train.Example` of `id`, that of the image, and `mask`: a
PNG of one channel as large as the image, 255 on the foreground, 0 elsewhere.
An image that cannot be read has none. Which images a file is for depends on
their number alone, so that files can be made in any order, by any number of
processes. `masks.json` says whose masks these are from the first moment, and
how many from the last.
"""

from collections.abc import Iterable, Sequence
import hashlib
import io
import json
import os
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from semppl_jax.data.masks import FORMAT, INFO_FILE, StoreCounts, StoreInfo
from semppl_jax.data.sources.tfrecord_tf import records
from semppl_jax.data.tf.runtime import tf
from semppl_jax.runtime.files import atomic_write, write_text


class Tally(NamedTuple):
  """What one file holds.

  Attributes:
    ids: of its masks, in order.
    background: masks without foreground.
    foreground: masks without background.
    coverage: shares of foreground, summed.
    checksum: SHA-256 over its records.
  """

  ids: tuple[str, ...]
  background: int
  foreground: int
  coverage: float
  checksum: str


def png(mask: np.ndarray) -> bytes:
  """Returns a mask, bool [H, W], as the bytes of a PNG of one bit a pixel."""
  stream = io.BytesIO()
  Image.fromarray(mask).save(stream, 'PNG')
  return stream.getvalue()


def write_shard(file: str, masks: Iterable[tuple[str, bytes]]) -> None:
  """Writes ids and PNGs to a file, which is there once it is whole."""
  try:
    with (
      atomic_write(file) as temporary,
      tf.io.TFRecordWriter(os.fspath(temporary)) as writer,
    ):
      for name, content in masks:
        feature = {'id': _feature(name.encode()), 'mask': _feature(content)}
        example = tf.train.Example(features=tf.train.Features(feature=feature))
        # A map has no order of its own, and the bytes should be the same.
        writer.write(example.SerializeToString(deterministic=True))
  except tf.errors.OpError as error:
    raise OSError(f'{file!r} cannot be written: {error.message}') from error


def tally(file: str) -> Tally | None:
  """Counts the masks of a file; None where it is absent or damaged."""
  if not tf.io.gfile.exists(file):
    return None
  sha, ids, covered = hashlib.sha256(), [], []
  try:
    stored: Any
    for stored in records(file, 0, -1).as_numpy_iterator():
      sha.update(stored)
      feature = tf.train.Example.FromString(stored).features.feature
      ids.append(feature['id'].bytes_list.value[0].decode())
      content = feature['mask'].bytes_list.value[0]
      with Image.open(io.BytesIO(content)) as opened:
        covered.append(float(np.asarray(opened.convert('L')).mean() / 255))
  except (tf.errors.OpError, OSError, IndexError):
    return None
  share = np.array(covered)
  return Tally(
    tuple(ids),
    background=int((share == 0).sum()),
    foreground=int((share == 1).sum()),
    coverage=float(share.sum()),
    checksum=sha.hexdigest(),
  )


def add(tallies: Sequence[Tally]) -> StoreCounts:
  """Returns the counts of a store from those of its files, in order."""
  masks = sum(len(t.ids) for t in tallies)
  joined = ''.join(t.checksum for t in tallies)
  return StoreCounts(
    masks=masks,
    background=sum(t.background for t in tallies),
    foreground=sum(t.foreground for t in tallies),
    mean_coverage=sum(t.coverage for t in tallies) / max(masks, 1),
    checksum=hashlib.sha256(joined.encode()).hexdigest(),
  )


def write(folder: str, info: StoreInfo) -> None:
  """Writes `masks.json`, whole or not at all; makes the folder."""
  content: dict[str, Any] = {'format': FORMAT, **info._asdict()}
  content['counts'] = info.counts and info.counts._asdict()
  try:
    tf.io.gfile.makedirs(folder)
    text = json.dumps(content, indent=2) + '\n'
    write_text(os.path.join(folder, INFO_FILE), text)
  except tf.errors.OpError as error:
    raise OSError(
      f'{folder!r} cannot be written to: {error.message}'
    ) from error


def _feature(value: bytes) -> tf.train.Feature:
  return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
