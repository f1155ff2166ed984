"""TFRecord files and TFDS folders read without TensorFlow."""

import glob
import json
import pathlib
import shutil

import numpy as np
import pytest

from semppl_jax.data import dataset
from semppl_jax.data.sources import tfds_numpy, tfrecord_numpy, tfrecord_tf
from semppl_jax.data.sources.tfrecord_index import Shard
from tests.helpers.image_sets import encoded, write_records

CLASSES = ('ant', 'bee')


def _same(ours, theirs):
  assert ours.source.shards == theirs.source.shards
  assert ours.source.keys == theirs.source.keys
  for name in ('lengths', 'offsets', 'sizes', 'rows'):
    np.testing.assert_array_equal(
      getattr(ours.source, name), getattr(theirs.source, name)
    )
  np.testing.assert_array_equal(ours.ids, theirs.ids)
  np.testing.assert_array_equal(ours.labels, theirs.labels)


@pytest.mark.parametrize('mask', [False, True])
def test_the_index_is_that_of_tensorflow(tmp_path, mask):
  files = sorted(glob.glob(write_records(tmp_path, mask=mask)))
  shards = [Shard(files[0]), Shard(files[1], 3, 4), Shard(files[2], 2)]
  ours = tfrecord_numpy.index_records(shards, 'HERE')
  _same(ours, tfrecord_tf.index_records(shards, 'HERE'))
  rows = np.array([0, 12, 20])
  stored = [*tfrecord_numpy.read_all(ours.source.select(rows))]
  numbers = [int(ours.ids[row][1:]) for row in rows]
  assert [x.image for x in stored] == [encoded(n) for n in numbers]
  assert [x.mask for x in stored] == [
    encoded(n, mode='L') if mask else b'' for n in numbers
  ]


def _damage(path, change):
  path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
  ('change', 'sentence'),
  [
    (lambda x: x[:-30], 'it ends within the record at byte'),
    (lambda x: x[:12] + b'\xff' * 30 + x[42:], 'are not tf.train.Example'),
    (lambda x: b'', 'holds no records'),
    (None, 'No such file'),
  ],
)
def test_damaged_files_are_named(tmp_path, change, sentence):
  write_records(tmp_path, (3,))
  path = tmp_path / 'part-0.tfrecord'
  if change is None:
    path.unlink()
  else:
    _damage(path, change)
  with pytest.raises(ValueError, match=sentence) as error:
    tfrecord_numpy.index_records([Shard(str(path))], 'HERE')
  assert str(error.value).startswith('HERE')


def test_records_without_an_image(tmp_path):
  from semppl_jax.data.tf.runtime import tf

  path = str(tmp_path / 'x.tfrecord')
  with tf.io.TFRecordWriter(path) as writer:
    writer.write(tf.train.Example().SerializeToString())
  with pytest.raises(ValueError, match="none of \\('image', 'image/encoded'"):
    tfrecord_numpy.index_records([Shard(path)], 'HERE')


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
  return tfds_numpy.open_prepared(name, str(root), 'config.data.name')


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
