"""Writes the embedded data: a part of CIFAR-10, or digits of a sign language.

  python benchmarks/make_embedded.py --set=cifar10 --data_dir=DIR
  python benchmarks/make_embedded.py --set=sign_digits --data_dir=DIR

For `cifar10`, DIR holds it as tensorflow_datasets prepares it; a balanced part
is chosen and ordered by a hash of the ids, so that the same source gives the
same files. For `sign_digits`, DIR has a folder for each digit, as the
repository ardamavi/Sign-Language-Digits-Dataset; see `sign_digits.py`.
"""

import hashlib
import os

from absl import app, flags
import numpy as np
import sign_digits

from semppl_jax.data.dataset import EMBEDDED
from semppl_jax.data.sources import tfds, tfrecord_tf
from semppl_jax.data.tf.runtime import tf

_SET = flags.DEFINE_enum(
  'set', 'cifar10', ['cifar10', 'sign_digits'], 'The set to write.'
)
_DATA_DIR = flags.DEFINE_string(
  'data_dir', None, 'Folder of the source.', required=True
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


def write_sign_digits(data_dir: str, out: str) -> dict[str, int]:
  """Writes both splits and returns their sizes in bytes."""
  folder = os.path.join(out, 'sign_digits')
  os.makedirs(folder, exist_ok=True)
  sizes = {}
  parts = sign_digits.split_by_hand(sign_digits.photos(data_dir))
  for split, photos in parts.items():
    path = os.path.join(folder, f'{split}.tfrecord')
    with tf.io.TFRecordWriter(path) as writer:
      for name, photo in sorted(
        ((f'{x.digit}/{x.path.stem}', x) for x in photos),
        key=lambda item: rank(item[0]),
      ):
        content = sign_digits.encode(photo.path)
        writer.write(_example(content, photo.digit, name))
    sizes[f'{split}, {len(photos)} photographs'] = os.path.getsize(path)
  return sizes


def main(argv: list[str]) -> None:
  """Writes both splits."""
  del argv
  source, out = str(_DATA_DIR.value), str(_OUT.value)
  if _SET.value == 'sign_digits':
    sizes = write_sign_digits(source, out)
  else:
    sizes = {split: write_split(split, source, out) for split in PER_CLASS}
  for name, size in sizes.items():
    print(f'{name}: {size / 1e6:.2f} MB')


if __name__ == '__main__':
  app.run(main)
