import numpy as np
import pytest
import tensorflow_datasets as tfds

from semppl_jax.data import dataset, labels, pipeline
from semppl_jax.data.sources import tfds as tfds_lib


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
