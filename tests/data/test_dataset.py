import io
import itertools
import json

import numpy as np
from PIL import Image
import pytest

from semppl_jax.data import dataset
from semppl_jax.data.sources import folder, tfrecord_tf
from tests.helpers.image_sets import encoded, write_folder, write_records


def folder_config(config, path):
  config.data.kind = 'folder'
  config.data.path = str(path)
  return config.data


def put(root, *paths):
  for i, path in enumerate(paths):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(encoded(i))


def test_embedded_counts_ids_and_images(config):
  config.data.kind = 'embedded'
  train, test = dataset.load(config.data)
  np.testing.assert_array_equal(np.bincount(train.labels), [600] * 10)
  np.testing.assert_array_equal(np.bincount(test.labels), [200] * 10)
  ids = np.concatenate([train.ids, test.ids])
  assert len(np.unique(ids)) == 8000
  assert train.class_names[0] == 'airplane' and len(train.class_names) == 10
  # Neither sorted by class nor by id: a front part is a fair sample.
  assert (np.bincount(train.labels[:1000]) > 60).all()
  shard = train.source.shards[0]
  stored = next(iter(tfrecord_tf.records(*shard).batch(3)))
  for content in tfrecord_tf.parse(stored, train.source.keys)[0].numpy():
    assert Image.open(io.BytesIO(content)).size == (32, 32)


def test_an_unknown_embedded_set_is_named(config):
  config.data.update(kind='embedded', name='sign_digit')
  with pytest.raises(ValueError, match="name='sign_digit' must be one of"):
    dataset.load(config.data)


def test_embedded_hands_are_in_one_split_alone(config):
  config.data.update(kind='embedded', name='sign_digits')
  train, test = dataset.load(config.data)
  assert (train.size, test.size) == (1581, 481)
  assert (train.name, test.name) == (
    'embedded/sign_digits/train',
    'embedded/sign_digits/test',
  )
  assert train.class_names == tuple('0123456789')
  assert np.bincount(train.labels).min() > 150
  assert np.bincount(test.labels).min() > 40
  part = {}
  for name, split in ((x, s) for s in (train, test) for x in s.ids):
    digit, file = name.split('/')
    part[int(file.removeprefix('IMG_'))] = int(digit), split.name
  numbers = sorted(part)
  borders = 0
  for before, after in itertools.pairwise(numbers):
    (last, one), (first, other) = part[before], part[after]
    if one != other:
      borders += 1
      # Between the last photograph of a hand and the first of the next.
      assert (last, first) == (9, 0)
  assert borders > 15
  assert (np.bincount(train.labels[:500]) > 30).all()


def test_class_folders(config, tmp_path):
  root = write_folder(tmp_path, 6)
  (tmp_path / 'notes.txt').write_text('not an image')
  put(tmp_path, 'dog/deep/er.PNG', 'unlabelled/u.png', 'flat.png')
  train, test = dataset.load(folder_config(config, root))
  assert test is None
  assert train.class_names == ('cat', 'dog')
  assert list(train.ids) == sorted(train.ids)
  label = dict(zip(train.ids, train.labels, strict=True))
  assert label['cat/000.png'] == 0 and label['dog/deep/er.PNG'] == 1
  assert label['unlabelled/u.png'] == label['flat.png'] == -1
  assert train.size == 9


def test_flat_folder_has_no_labels(config, tmp_path):
  put(tmp_path, 'a.png', 'b.jpg', 'c.JPEG')
  train, _ = dataset.load(folder_config(config, tmp_path))
  np.testing.assert_array_equal(train.labels, [-1] * 3)
  assert train.class_names == ()


ROWS = (('b/x 1.png', 'zebra'), ('a.png', 'ant'), ('b/y.png', 'zebra'))
LABEL_FILES = {
  'header.csv': 'path,label\n' + '\n'.join(','.join(r) for r in ROWS),
  'plain.csv': '\ufeff' + '\r\n'.join(f'"./{p}", {c}' for p, c in ROWS),
  'empty.csv': '\n'.join(','.join(r) for r in (*ROWS, ('b/none.png', ''))),
  'spaces.txt': '\n'.join(f'{p}\t {c}' for p, c in ROWS) + '\n\n',
  'object.json': json.dumps(dict(ROWS)),
  'pairs.json': json.dumps(ROWS),
  'objects.json': json.dumps([{'file': p, 'label': c} for p, c in ROWS]),
}


@pytest.mark.parametrize('name', LABEL_FILES)
def test_labels_files(config, tmp_path, name):
  root = tmp_path / 'images'
  put(root, 'a.png', 'b/x 1.png', 'b/y.png', 'b/none.png')
  (tmp_path / name).write_text(LABEL_FILES[name])
  data = folder_config(config, root)
  data.labels_file = str(tmp_path / name)
  train, _ = dataset.load(data)
  assert train.class_names == ('ant', 'zebra')
  assert dict(zip(train.ids.tolist(), train.labels.tolist(), strict=True)) == {
    'a.png': 0,
    'b/none.png': -1,
    'b/x 1.png': 1,
    'b/y.png': 1,
  }


def test_numeric_labels_are_ordered_by_value(config, tmp_path):
  put(tmp_path, 'a.png', 'b.png', 'c.png')
  (tmp_path / 'labels.json').write_text('{"a.png": 10, "b.png": 9, "c.png": 2}')
  data = folder_config(config, tmp_path)
  data.labels_file = 'labels.json'
  train, _ = dataset.load(data)
  assert train.class_names == ('2', '9', '10')
  np.testing.assert_array_equal(train.labels, [2, 1, 0])


def test_labels_file_problems_are_told_at_once(config, tmp_path):
  put(tmp_path, 'a.png', 'b.png')
  rows = ['a.png,x', 'a.png,x', 'b.png,x', 'b.png,y']
  rows += [f'gone{i}.png,x' for i in range(5)]
  (tmp_path / 'labels.csv').write_text('\n'.join(rows))
  data = folder_config(config, tmp_path)
  data.labels_file = str(tmp_path / 'labels.csv')
  with pytest.raises(ValueError) as error:
    dataset.load(data)
  for part in (
    'config.data.labels_file=',
    "5 path(s) without an image: 'gone0.png', 'gone1.png', 'gone2.png', ...",
    "1 repeated row(s): 'a.png'",
    "1 path(s) with conflicting labels: 'b.png'",
    "1 class(es), at least 2 needed: 'x'",
  ):
    assert part in str(error.value)


def test_one_accent_may_be_one_character_or_two(config, tmp_path):
  put(tmp_path, 'e\u0301.png', 'b.png')
  (tmp_path / 'l.csv').write_text('\u00e9.png,1\nb.png,2')
  data = folder_config(config, tmp_path)
  data.labels_file = 'l.csv'
  assert dataset.load(data).train.labels.tolist() == [1, 0]


def test_what_a_folder_leaves_out(config, tmp_path, caplog):
  put(tmp_path, 'cat/a.png', 'dog/b.png', '.copies/c.png', 'dog/d.webp')
  train, _ = dataset.load(folder_config(config, tmp_path))
  assert train.ids.tolist() == ['cat/a.png', 'dog/b.png']
  assert "1 file(s) of formats that are not read: '" in caplog.text
  assert 'd.webp' in caplog.text


def test_json_object_with_a_path_twice_is_a_conflict(config, tmp_path):
  put(tmp_path, 'a.png', 'b.png')
  (tmp_path / 'l.json').write_text('{"a.png": 1, "b.png": 2, "a.png": 2}')
  data = folder_config(config, tmp_path)
  data.labels_file = 'l.json'
  with pytest.raises(ValueError, match=r"conflicting labels: 'a\.png'"):
    dataset.load(data)


@pytest.mark.parametrize(
  ('name', 'content', 'message'),
  [
    ('l.csv', None, 'cannot be read'),
    ('l.xml', 'x', r'must end in \.csv, \.txt or \.json'),
    ('l.json', '{"a.png": ', 'is not a .json file'),
    ('l.json', '3', 'neither an object nor a list'),
    ('l.json', '{"a.png": null}', 'row 1 has no path and label'),
    ('l.csv', 'a.png,1\nb.png', 'row 2 has no path and label'),
    ('l.csv', 'path,label\na.png,x, y', 'row 2 has 3 cells and the first 2'),
    ('l.csv', b'\xff\xfe\x00', 'is not a .csv file'),
    ('l.txt', '', 'no labels'),
  ],
)
def test_bad_labels_files(config, tmp_path, name, content, message):
  put(tmp_path, 'a.png', 'b.png')
  file = tmp_path / name
  if isinstance(content, bytes):
    file.write_bytes(content)
  elif content is not None:
    file.write_text(content)
  data = folder_config(config, tmp_path)
  data.labels_file = str(file)
  with pytest.raises(ValueError, match=message):
    dataset.load(data)


def test_bad_folders(config, tmp_path):
  with pytest.raises(ValueError, match=r'config.data.path=.*not a folder'):
    dataset.load(folder_config(config, tmp_path / 'nowhere'))
  with pytest.raises(ValueError, match='holds no images'):
    dataset.load(folder_config(config, tmp_path))
  put(tmp_path, 'cat/a.png', 'dog/b.png')
  (tmp_path / 'cow').mkdir()
  with pytest.raises(ValueError, match=r"folder.* without images: 'cow'"):
    dataset.load(folder_config(config, tmp_path))


def test_unreadable_folder_is_named(tmp_path, monkeypatch):
  put(tmp_path, 'cat/a.png', 'dog/b.png')
  scandir = folder.os.scandir

  def locked(path):
    if str(path).endswith('dog'):
      raise PermissionError(13, 'Permission denied', str(path))
    return scandir(path)

  monkeypatch.setattr(folder.os, 'scandir', locked)
  with pytest.raises(ValueError, match=r'1 folder.* cannot be read: .*dog'):
    folder.read_folder(str(tmp_path))


def test_test_folder_is_numbered_by_the_train_classes(config, tmp_path):
  put(tmp_path, 'train/a/1.png', 'train/b/2.png', 'test/b/3.png')
  data = folder_config(config, tmp_path / 'train')
  data.test_path = str(tmp_path / 'test')
  np.testing.assert_array_equal(dataset.load(data).test.labels, [1])
  put(tmp_path, 'test/c/4.png')
  with pytest.raises(ValueError, match="train set has not: 'c'"):
    dataset.load(data)


def test_hold_out_is_balanced_and_disjoint(config, tmp_path):
  data = folder_config(config, write_folder(tmp_path, 40))
  put(tmp_path, 'unlabelled/u.png')
  data.test_holdout = 0.2
  train, test = dataset.load(data)
  np.testing.assert_array_equal(np.bincount(test.labels), [4, 4])
  assert not set(train.ids) & set(test.ids)
  assert train.size + test.size == 41
  assert list(test.source.paths) == list(test.ids)
  data.test_holdout = 1.0
  with pytest.raises(ValueError, match=r'test_holdout=1\.0 must'):
    dataset.load(data)
  data.update(test_holdout=0.2, test_path=data.path)
  with pytest.raises(ValueError, match='is for data without a test set'):
    dataset.load(data)


def test_a_hold_out_of_nothing_is_refused(config, tmp_path):
  put(tmp_path, 'cat/a.png', 'dog/b.png', 'unlabelled/c.png')
  data = folder_config(config, tmp_path)
  data.test_holdout = 0.2
  with pytest.raises(ValueError, match='leaves no test image'):
    dataset.load(data)


def test_limit_takes_the_first(config, tmp_path):
  data = folder_config(config, write_folder(tmp_path, 10))
  data.limit = 3
  train, _ = dataset.load(data)
  assert list(train.ids) == ['cat/000.png', 'cat/002.png', 'cat/004.png']
  assert len(train.source.paths) == 3


def test_fingerprint_sees_ids_and_labels(config, tmp_path):
  train, _ = dataset.load(folder_config(config, write_folder(tmp_path, 4)))
  others = [
    train,
    train._replace(labels=1 - train.labels),
    train._replace(ids=train.ids[::-1]),
  ]
  assert len({other.fingerprint for other in others}) == 3


def test_records_are_indexed_once(config, tmp_path, monkeypatch):
  config.data.kind = 'tfrecord'
  config.data.path = write_records(tmp_path / 'r')
  train, _ = dataset.load(config.data)
  assert list(train.ids[:2]) == ['n0', 'n1']
  np.testing.assert_array_equal(train.labels, np.arange(48) % 2)
  np.testing.assert_array_equal(train.source.lengths, [12, 10, 14, 12])
  monkeypatch.setattr(tfrecord_tf, '_scan', None)
  again, _ = dataset.load(config.data)
  assert again.fingerprint == train.fingerprint
  # Other files, another index.
  write_records(tmp_path / 'r', (5,))
  with pytest.raises(TypeError):
    dataset.load(config.data)


def test_bad_records(config, tmp_path):
  config.data.kind = 'tfrecord'
  config.data.path = str(tmp_path / '*')
  with pytest.raises(ValueError, match='matches no file'):
    dataset.load(config.data)
  file = tmp_path / 'x.tfrecord'
  file.write_bytes(b'')
  with pytest.raises(ValueError, match='holds no records'):
    dataset.load(config.data)
  file.write_bytes(b'these are no records at all')
  with pytest.raises(ValueError, match=r'x\.tfrecord.* cannot be read'):
    dataset.load(config.data)
  path = write_records(tmp_path, (20,))
  whole = (tmp_path / 'part-0.tfrecord').read_bytes()
  (tmp_path / 'part-0.tfrecord').write_bytes(whole[:-30])
  config.data.path = path
  with pytest.raises(ValueError, match='cannot be read'):
    dataset.load(config.data)


def test_unknown_names_come_with_near_ones(config, tmp_path):
  config.data.kind = 'tdfs'
  with pytest.raises(ValueError, match=r"kind='tdfs' must be one of"):
    dataset.load(config.data)
  config.data.kind = 'tfds'
  config.data.name = 'cifar1O'
  config.data.path = str(tmp_path)
  with pytest.raises(ValueError, match=r"name='cifar1O' .*'cifar10'"):
    dataset.load(config.data)
