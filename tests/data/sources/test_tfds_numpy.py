"""TFDS folders read without TensorFlow."""

import json
import pathlib
import shutil

import pytest

from semppl_jax.data import dataset
from semppl_jax.data.sources import tfds_numpy
from tests.helpers.image_sets import write_records

CLASSES = ('ant', 'bee')


@pytest.fixture
def prepared(tmp_path):
  """A folder as tensorflow_datasets writes it, two versions of one set."""
  for version in ('1.9.0', '1.10.0'):
    folder = tmp_path / 'things' / version
    write_records(folder, (4, 3))
    for n in range(2):
      shutil.move(
        folder / f'part-{n}.tfrecord',
        folder / f'things-train.tfrecord-0000{n}-of-00002',
      )
    (folder / 'label.labels.txt').write_text('\n'.join(CLASSES) + '\n')
    split = {
      'name': 'train',
      'shardLengths': ['4', '3'],
      'filepathTemplate': '{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}',
    }
    info = {'name': 'things', 'fileFormat': 'tfrecord', 'splits': [split]}
    (folder / 'dataset_info.json').write_text(json.dumps(info))
  return tmp_path


def _open(root, name='things'):
  return tfds_numpy.open_builder(name, str(root), 'config.data.name')


def test_a_prepared_set(prepared, config, monkeypatch):
  found = _open(prepared)
  assert found.folder.endswith('1.10.0')
  assert found.class_names == CLASSES
  config.data.update(
    kind='tfds', name='things', path=str(prepared), test_split='',
    backend='device',
  )  # fmt: skip
  train = dataset.load(config.data).train
  assert train.name == 'things/train'
  assert train.ids.tolist() == [f'n{n}' for n in range(7)]
  assert train.class_names == CLASSES
  assert _open(prepared, 'things:1.9.0').folder.endswith('1.9.0')
  # Without a folder of its own, that of tensorflow_datasets.
  monkeypatch.setenv('TFDS_DATA_DIR', str(prepared))
  assert _open('') == found


def test_what_is_not_prepared_is_said(prepared):
  with pytest.raises(ValueError, match='is not prepared in'):
    _open(prepared, 'thing')
  with pytest.raises(ValueError, match=r"which has \['train'\]"):
    tfds_numpy.split_shards(_open(prepared), 'train[:50%]', 'FIELD')
  info = pathlib.Path(_open(prepared).folder) / 'dataset_info.json'
  info.write_text(info.read_text().replace('"tfrecord"', '"array_record"'))
  with pytest.raises(ValueError, match='stored as array_record'):
    _open(prepared)
