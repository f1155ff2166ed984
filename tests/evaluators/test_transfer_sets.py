"""Transfer sets: generated, with the real features, or as folders."""

import logging

import numpy as np
from PIL import Image
import pytest
import tensorflow_datasets as tfds

from semppl_jax.evaluators import metrics, transfer_sets
from tests.helpers.prepared_sets import prepare

PREPARED = [name for name, x in transfer_sets.SETS.items() if x.tfds]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv('SEMPPL_JAX_CACHE', str(tmp_path / 'cache'))


def _classes(name):
  builder = tfds.builder(transfer_sets.SETS[name].tfds)
  return builder.info.features['label'].num_classes


def test_the_table_is_that_of_the_paper():
  found = {name: x.metric for name, x in transfer_sets.SETS.items()}
  assert len(found) == 12
  assert set(found.values()) == set(metrics.BY_NAME)
  per_class = {'aircraft', 'pets', 'caltech101', 'flowers102'}
  assert {n for n, x in found.items() if x == 'mean_per_class'} == per_class
  assert [n for n, x in found.items() if x == 'map11'] == ['voc2007']
  given = {n for n, x in transfer_sets.SETS.items() if x.validation}
  assert given == {'aircraft', 'voc2007', 'dtd', 'flowers102'}
  classes = {n: _classes(n) for n in PREPARED if n != 'voc2007'}
  assert classes == {
    'food101': 101,
    'cifar10': 10,
    'cifar100': 100,
    'sun397': 397,
    'cars': 196,
    'dtd': 47,
    'pets': 37,
    'caltech101': 102,
    'flowers102': 102,
  }


@pytest.mark.parametrize('name', [x for x in PREPARED if x != 'voc2007'])
def test_a_prepared_set(tmp_path, name):
  found = transfer_sets.SETS[name]
  assert found.tfds in transfer_sets.absent(name, str(tmp_path))
  classes = _classes(name)
  labels = np.arange(classes)
  splits = {found.train: np.tile(labels, 2), found.test: labels[::-1][:3]}
  if found.validation:
    splits = {found.validation: labels[:5], **splits}
  prepare(tmp_path, found.tfds, {k: v.tolist() for k, v in splits.items()})
  assert transfer_sets.absent(name, str(tmp_path)) == ''
  data = transfer_sets.load(name, str(tmp_path), holdout=0.5)
  assert len(data.train.class_names) == classes
  assert data.test_labels.tolist() == splits[found.test].tolist()
  assert data.train_labels.tolist()[: 2 * classes] == [*labels, *labels]
  rows = np.concatenate([data.fit, data.validation])
  assert sorted(rows.tolist()) == list(range(data.train.size))
  if found.validation:
    assert data.fit.tolist() == list(range(2 * classes))
    assert data.train_labels[data.validation].tolist() == list(range(5))
  else:
    # Half of each class.
    for part in (data.fit, data.validation):
      assert sorted(data.train_labels[part].tolist()) == labels.tolist()


def test_a_set_of_several_labels(tmp_path):
  clear = {'train': [[0], [1, 2]], 'validation': [[]], 'test': [[19], [], [3]]}
  every = {'train': [[0], [1, 2]], 'validation': [[4]], 'test': [[19], [], [3]]}
  prepare(tmp_path, 'voc/2007', every, labels_no_difficult=clear)
  data = transfer_sets.load('voc2007', str(tmp_path))
  assert data.train.class_names[:2] == ('aeroplane', 'bicycle')
  assert data.train_labels.shape == (3, 20)
  assert np.argwhere(data.train_labels == 1).tolist() == [
    [0, 0],
    [1, 1],
    [1, 2],
  ]
  assert np.argwhere(data.train_labels == -1).tolist() == [[2, 4]]
  assert np.argwhere(data.test_labels).tolist() == [[0, 19], [2, 3]]
  assert (data.fit.tolist(), data.validation.tolist()) == ([0, 1], [2])
  assert data.train.ids.tolist() == [
    'train0.jpg',
    'train1.jpg',
    'validation0.jpg',
  ]
  scores = data.test_labels.astype(float)
  assert metrics.BY_NAME[data.metric](scores, data.test_labels) == 1


def _folders(root, splits, classes=('a380', 'b52'), count=4):
  for split in splits:
    for label, name in enumerate(classes):
      (root / split / name).mkdir(parents=True)
      for i in range(count):
        grey = Image.new('L', (3, 2), 10 * label + i)
        grey.save(root / split / name / f'{split}{i}.png')


def test_folders_with_a_validation_split(tmp_path):
  root = tmp_path / 'aircraft'
  _folders(root, ('train', 'test'))
  reason = transfer_sets.absent('aircraft', str(tmp_path))
  assert reason.startswith("'aircraft' has 1 folder(s) not found: ")
  _folders(root, ('validation',), count=1)
  data = transfer_sets.load('aircraft', str(tmp_path))
  assert data.train.class_names == ('a380', 'b52')
  assert data.fit.tolist() == list(range(8))
  assert data.train_labels[data.validation].tolist() == [0, 1]
  assert data.train.ids[-1] == 'validation/b52/validation0.png'
  want = (root / 'test' / 'b52' / 'test3.png').read_bytes()
  assert data.test.source.read(7) == want
  assert data.test_labels.tolist() == [0] * 4 + [1] * 4


def test_folders_without_a_validation_split(tmp_path, caplog):
  _folders(tmp_path / 'birdsnap', ('train', 'test'))
  with caplog.at_level(logging.WARNING):
    data = transfer_sets.load('birdsnap', str(tmp_path), holdout=0.25)
  assert 'has 8 images to fit on and 8 to test on' in caplog.text
  assert sorted(data.train_labels[data.validation].tolist()) == [0, 1]
  again = transfer_sets.load('birdsnap', str(tmp_path), holdout=0.25)
  np.testing.assert_array_equal(data.validation, again.validation)
  drawn = [
    transfer_sets.load(
      'birdsnap', str(tmp_path), holdout=0.25, seed=seed
    ).validation.tolist()
    for seed in range(4)
  ]
  assert len(set(map(tuple, drawn))) > 1


def test_bad_input_is_one_sentence(tmp_path):
  for call in (transfer_sets.absent, transfer_sets.load):
    with pytest.raises(ValueError, match=r"'mnist' must be one of .*\.$"):
      call('mnist', str(tmp_path))
  with pytest.raises(ValueError, match=r"^'dtd' is not prepared in .*\.$"):
    transfer_sets.load('dtd', str(tmp_path))
  _folders(tmp_path / 'birdsnap', ('train', 'test'), count=1)
  for holdout in (0.0, 1.0):
    with pytest.raises(ValueError, match=r'^holdout=... must be above 0'):
      transfer_sets.load('birdsnap', str(tmp_path), holdout=holdout)
  with pytest.raises(ValueError, match=r"to fit on: 'a380', 'b52'\.$"):
    transfer_sets.load('birdsnap', str(tmp_path))
