"""Writes a store of masks: TFRecord files, and beside them `masks.json`.

Each record is a `tf.train.Example` of `id`, that of the image, and `mask`: a
PNG of one channel as large as the image, 255 on the foreground, 0 elsewhere.
An image that cannot be read has none. The number of images alone determines
the images of each file, so that files can be made in any order, by any number
of processes. `masks.json` has the origin of the masks from the beginning, and
their counts at the end.
"""

from collections.abc import Iterable, Sequence
import hashlib
import io
import json
import os

import numpy as np
from PIL import Image

from semppl_jax.data.masks import FORMAT, INFO_FILE, StoreCounts, StoreInfo
from semppl_jax.data.sources.tfrecord_tf import records
from semppl_jax.data.tf.runtime import tf
from semppl_jax.runtime.files import atomic_write, write_text
from semppl_jax.saliency.shards import ShardCounts


def png(mask: np.ndarray) -> bytes:
  """Returns a mask, bool [H, W], as the bytes of a PNG of one bit a pixel."""
  stream = io.BytesIO()
  Image.fromarray(mask).save(stream, 'PNG')
  return stream.getvalue()


def write_shard(file: str, masks: Iterable[tuple[str, bytes]]) -> None:
  """Writes ids and PNGs to a file, atomically."""
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


def count_shard(file: str) -> ShardCounts | None:
  """Counts the masks of a file; returns None if it is missing or damaged."""
  if not tf.io.gfile.exists(file):
    return None
  sha, ids, shares = hashlib.sha256(), [], []
  try:
    for serialized in records(file, 0, -1).as_numpy_iterator():
      record = bytes(serialized)
      sha.update(record)
      feature = tf.train.Example.FromString(record).features.feature
      ids.append(feature['id'].bytes_list.value[0].decode())
      content = feature['mask'].bytes_list.value[0]
      with Image.open(io.BytesIO(content)) as opened:
        shares.append(float(np.asarray(opened.convert('L')).mean() / 255))
  except (tf.errors.OpError, OSError, IndexError):
    return None
  share = np.array(shares)
  return ShardCounts(
    tuple(ids),
    background=int((share == 0).sum()),
    foreground=int((share == 1).sum()),
    coverage=float(share.sum()),
    checksum=sha.hexdigest(),
  )


def total(counts: Sequence[ShardCounts]) -> StoreCounts:
  """Returns the counts of a store from those of its files, in order."""
  masks = sum(len(x.ids) for x in counts)
  joined = ''.join(x.checksum for x in counts)
  return StoreCounts(
    masks=masks,
    background=sum(x.background for x in counts),
    foreground=sum(x.foreground for x in counts),
    mean_coverage=sum(x.coverage for x in counts) / max(masks, 1),
    checksum=hashlib.sha256(joined.encode()).hexdigest(),
  )


def write_info(folder: str, info: StoreInfo) -> None:
  """Writes `masks.json` atomically; makes the folder."""
  counts = info.counts and info.counts._asdict()
  content = {'format': FORMAT, **info._asdict(), 'counts': counts}
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
