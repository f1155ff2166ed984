"""Small image sets made on the spot."""

import io
import os

import numpy as np
from PIL import Image


def encoded(seed: int, size=(12, 10), mode='RGB', kind='PNG') -> bytes:
  """An image of noise; `size` is height and width."""
  rng = np.random.default_rng(seed)
  pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
  stream = io.BytesIO()
  Image.fromarray(pixels).convert(mode).save(stream, kind)
  return stream.getvalue()


def smooth(number: int, size=(160, 200), mode='RGB', kind='JPEG') -> bytes:
  """Waves, of which an image decoded smaller shows the same."""
  y, x = np.mgrid[: size[0], : size[1]] / max(size)
  waves = (
    np.sin((5 + number) * x),
    np.cos(7 * y),
    np.sin((4 + number) * x * y),
  )
  pixels = (127.5 * (np.stack(waves, -1) + 1)).astype(np.uint8)
  stream = io.BytesIO()
  Image.fromarray(pixels).convert(mode).save(stream, kind, quality=95)
  return stream.getvalue()


def grey(number: int, size=(12, 10), mode='RGB') -> bytes:
  """An image of one grey, five times its number, so that a crop tells it."""
  stream = io.BytesIO()
  color = (5 * number,) * 3
  Image.new('RGB', size[::-1], color).convert(mode).save(stream, 'PNG')
  return stream.getvalue()


def write_folder(root, count=40, classes=('cat', 'dog'), image=encoded) -> str:
  """Class sub-folders with `count` images in all."""
  for i in range(count):
    folder = root / classes[i % len(classes)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f'{i:03}.png').write_bytes(image(i, (9 + i % 5, 11 + i % 3)))
  return str(root)


def write_records(
  root,
  lengths=(12, 10, 14, 12),
  bad=(),
  mask=False,
  classes=2,
  image=encoded,
  mask_image=encoded,
) -> str:
  """TFRecord files of so many images; returns their glob."""
  from semppl_jax.data.tf.runtime import tf

  os.makedirs(root, exist_ok=True)
  number = 0
  for shard, length in enumerate(lengths):
    file = os.path.join(str(root), f'part-{shard}.tfrecord')
    with tf.io.TFRecordWriter(file) as writer:
      for _ in range(length):
        stored = b'not an image' if number in bad else image(number)
        content = {
          'image': tf.train.BytesList(value=[stored]),
          'id': tf.train.BytesList(value=[f'n{number}'.encode()]),
        }
        if mask:
          content['mask'] = tf.train.BytesList(
            value=[mask_image(number, mode='L')]
          )
        features = {
          k: tf.train.Feature(bytes_list=v) for k, v in content.items()
        }
        features['label'] = tf.train.Feature(
          int64_list=tf.train.Int64List(value=[number % classes])
        )
        writer.write(
          tf.train.Example(
            features=tf.train.Features(feature=features)
          ).SerializeToString()
        )
        number += 1
  return os.path.join(str(root), 'part-*.tfrecord')
