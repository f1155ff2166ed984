import numpy as np
import pytest
import tensorflow_datasets as tfds

from semppl_jax.data.sources import multi_label, tfds as tfds_lib, tfrecord_tf


def _prepare(data_dir, count, features=None):
  """Images of VOC 2007, the i-th with the i-th and the first class."""
  real = tfds.builder('voc/2007', data_dir=str(data_dir)).info.features

  def examples(split):
    for i in range(count):
      labels = sorted({0, i % 20})
      example = {
        'image': np.full((3, 4, 3), i, np.uint8),
        'image/filename': f'{split}{i}.jpg',
        'objects': [],
        'labels': labels,
        # The first class is marked as difficult in every third image.
        'labels_no_difficult': [c for c in labels if c or i % 3],
      }
      yield i, {key: example[key] for key in features or example}

  tfds.dataset_builders.store_as_tfds_dataset(
    name='voc',
    config='2007',
    version='5.0.0',
    features=tfds.features.FeaturesDict(
      {key: real[key] for key in features or real}
    ),
    split_datasets={split: examples(split) for split in ('train', 'test')},
    data_dir=str(data_dir),
  )
  return tfds_lib.open_builder('voc/2007:5.0.0', str(data_dir), 'set')


def test_labels_stand_in_the_order_of_the_index(tmp_path):
  builder = _prepare(tmp_path, 40)
  split = 'test+train[25%:]'
  labels, names = multi_label.read_multi_labels(builder, split)
  assert (labels.shape, labels.dtype) == ((70, 20), np.int8)
  assert (names[0], names[-1]) == ('aeroplane', 'tvmonitor')
  shards = tfds_lib.split_shards(builder, split, 'split')
  ids = tfrecord_tf.index_records(shards, 'split').ids
  assert ids[0].startswith('test')
  want = np.zeros((70, 20), np.int8)
  for row, name in enumerate(ids):
    i = int(name.removeprefix('test').removeprefix('train').split('.')[0])
    want[row, i % 20] = 1
    want[row, 0] = 1 if i % 3 else -1
  np.testing.assert_array_equal(labels, want)


def test_a_set_of_one_label_is_refused(tmp_path):
  builder = _prepare(tmp_path, 1, ('image', 'labels'))
  with pytest.raises(ValueError, match=r"not \['labels_no_difficult'\], which"):
    multi_label.read_multi_labels(builder, 'train')


def test_a_damaged_file_is_one_sentence(tmp_path):
  builder = _prepare(tmp_path, 5)
  ((file, _, _),) = tfds_lib.split_shards(builder, 'train', 'split')
  with open(file, 'r+b') as stream:
    stream.truncate(100)
  with pytest.raises(
    ValueError, match=r'^voc/2007[^\n]* cannot be read: .*\.$'
  ):
    multi_label.read_multi_labels(builder, 'train')
