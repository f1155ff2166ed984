"""Data sets of tensorflow_datasets, small ones made on the spot."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from semppl_jax.data import dataset, labels, pipeline
from semppl_jax.data.sources import tfds as tfds_lib, tfrecord_tf


@pytest.fixture
def prepared(config, tmp_path):
  """Twelve images as tensorflow_datasets stores them, and four of their ids."""
  features = tfds.features.FeaturesDict(
    {
      'image': tfds.features.Image(shape=(None, None, 3)),
      'label': tfds.features.ClassLabel(names=['cat', 'dog']),
      'file_name': tfds.features.Text(),
    }
  )

  def examples(rows):
    for i in rows:
      pixels = np.full((6, 5, 3), i * 10, np.uint8)
      example = {'image': pixels, 'label': i % 2, 'file_name': f'{i}.png'}
      yield f'{i:02}', example

  for name, rows in (('pets', range(12)), ('few', range(4, 8))):
    tfds.dataset_builders.store_as_tfds_dataset(
      name=name,
      version='1.0.0',
      features=features,
      split_datasets={'train': examples(rows), 'test': examples(rows)},
      data_dir=str(tmp_path / 'tfds'),
      disable_shuffling=True,
    )
  config.data.kind = 'tfds'
  config.data.name = 'pets'
  config.data.path = str(tmp_path / 'tfds')
  config.data.test_split = 'test[:25%]'
  config.batch_size = 12
  return config


def test_splits_slices_and_subset(prepared):
  train, test = dataset.load(prepared.data)
  assert (train.size, test.size) == (12, 3)
  assert train.class_names == ('cat', 'dog')
  prepared.data.labels = 'tfds:few'
  subset = labels.select(prepared.data, train)
  assert list(train.ids[subset.index]) == ['4.png', '5.png', '6.png', '7.png']
  step = next(pipeline.train_batches(prepared, train, subset))
  # Each image is of one grey, so a crop tells which it is.
  number = np.array([int(name.split('.')[0]) for name in train.ids])
  np.testing.assert_array_equal(
    step.batch.large[:, 0, 0, 0, 0], number[step.batch.index] * 10
  )
  np.testing.assert_array_equal(
    step.batch.diagnostic_label, number[step.batch.index] % 2
  )


def test_a_slice_that_starts_inside_a_file(prepared):
  prepared.data.train_split = 'train[3:9]'
  train, test = dataset.load(prepared.data)
  assert train.size == 6
  rows = list(pipeline.eval_batches(prepared, train, [1, 4], 2))
  number = [int(train.ids[i].split('.')[0]) for i in (1, 4)]
  assert rows[0].image[:, 0, 0, 0].tolist() == [n * 10 for n in number]
  assert test.size == 3


def test_unknown_split_and_name(prepared):
  prepared.data.train_split = 'trian'
  with pytest.raises(ValueError, match=r"train_split='trian' is not a split"):
    dataset.load(prepared.data)
  prepared.data.name = 'petts'
  with pytest.raises(ValueError, match=r"'petts' .*did you mean 'pets'"):
    dataset.load(prepared.data)


def test_a_failed_download_is_one_sentence(monkeypatch):
  class Builder:
    class info:  # noqa: N801
      splits = ()

    data_dir = 'somewhere'

    def download_and_prepare(self):
      raise OSError('by hand:\nfetch a.tar\n')

  monkeypatch.setattr(tfds, 'builder', lambda *a, **k: Builder())
  with pytest.raises(ValueError, match=r'not prepared .*hand: fetch a\.tar\.$'):
    tfds_lib.open_builder('imagenet2012', '', 'config.data.name')


def _prepare_voc(data_dir, count, features=None):
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
  builder = _prepare_voc(tmp_path, 40)
  split = 'test+train[25%:]'
  labels, names = tfds_lib.read_multi_labels(builder, split)
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
  builder = _prepare_voc(tmp_path, 1, ('image', 'labels'))
  with pytest.raises(ValueError, match=r"not \['labels_no_difficult'\], which"):
    tfds_lib.read_multi_labels(builder, 'train')


def test_a_damaged_file_is_one_sentence(tmp_path):
  builder = _prepare_voc(tmp_path, 5)
  ((file, _, _),) = tfds_lib.split_shards(builder, 'train', 'split')
  with open(file, 'r+b') as stream:
    stream.truncate(100)
  with pytest.raises(
    ValueError, match=r'^voc/2007[^\n]* cannot be read: .*\.$'
  ):
    tfds_lib.read_multi_labels(builder, 'train')
