"""Writes the embedded data: a small, balanced part of CIFAR-10.

  python benchmarks/make_embedded.py --data_dir=DIR

DIR holds `cifar10` as tensorflow_datasets prepares it. Images are chosen and
ordered by a hash of their id, so that the same source gives the same files.
"""

import hashlib
import os

from absl import app, flags
import numpy as np

from semppl_jax.data.dataset import EMBEDDED
from semppl_jax.data.sources import tfds, tfrecord_tf
from semppl_jax.data.tf.runtime import tf

_DATA_DIR = flags.DEFINE_string(
  'data_dir', None, 'TFDS data_dir.', required=True
)
_OUT = flags.DEFINE_string('out', EMBEDDED, 'Folder to write to.')
PER_CLASS = {'train': 600, 'test': 200}


def rank(name: str) -> str:
  """Returns the sort key of an id."""
  return hashlib.sha256(f'semppl_jax/{name}'.encode()).hexdigest()


def choose(ids: np.ndarray, labels: np.ndarray, per_class: int) -> list[int]:
  """Rows of the first `per_class` of each class, in the order of `rank`."""
  left = dict.fromkeys(np.unique(labels).tolist(), per_class)
  chosen = []
  for row in sorted(range(len(ids)), key=lambda row: rank(ids[row])):
    if left[int(labels[row])]:
      left[int(labels[row])] -= 1
      chosen.append(row)
  return chosen


def write_split(split: str, data_dir: str, out: str) -> int:
  """Writes one split and returns its size in bytes."""
  builder = tfds.open_builder('cifar10', data_dir, '--data_dir')
  shards = tfds.split_shards(builder, split, '--data_dir')
  source, ids, labels = tfrecord_tf.index_records(shards, '--data_dir')
  content = [
    image
    for shard in shards
    for stored in tfrecord_tf.records(*shard).batch(1024)
    for image in tfrecord_tf.parse(stored, source.keys)[0].numpy()
  ]
  path = os.path.join(out, f'{split}.tfrecord')
  with tf.io.TFRecordWriter(path) as writer:
    for row in choose(ids, labels, PER_CLASS[split]):
      tf.io.decode_jpeg(content[row])  # Whole images only: raises otherwise.
      writer.write(_example(content[row], int(labels[row]), ids[row]))
  return os.path.getsize(path)


def _example(image: bytes, label: int, name: str) -> bytes:
  def many(values: list[bytes]) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

  features = {
    'image': many([image]),
    'label': tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
    'id': many([str(name).encode()]),
  }
  example = tf.train.Example(features=tf.train.Features(feature=features))
  # Features are a map, whose order is free unless asked for.
  return example.SerializeToString(deterministic=True)


def main(argv: list[str]) -> None:
  """Writes both splits."""
  del argv
  for split in PER_CLASS:
    size = write_split(split, str(_DATA_DIR.value), _OUT.value)
    print(f'{split}: {size / 1e6:.2f} MB')


if __name__ == '__main__':
  app.run(main)
