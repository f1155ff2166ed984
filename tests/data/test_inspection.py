import numpy as np
import pytest

from semppl_jax.data import dataset, labels
from semppl_jax.data.corrupt import CorruptCount
from semppl_jax.data.inspection import report
from tests.helpers.image_sets import encoded, write_folder


@pytest.fixture
def damaged(config, tmp_path):
  """Forty images, one without bytes, one twice, one without a label."""
  root = tmp_path / 'images'
  config.data.kind = 'folder'
  config.data.path = write_folder(root, 40)
  (root / 'cat' / '000.png').write_bytes(b'')
  (root / 'dog' / 'copy.png').write_bytes(
    (root / 'dog' / '001.png').read_bytes()
  )
  (root / 'unlabelled').mkdir()
  (root / 'unlabelled' / 'u.png').write_bytes(encoded(99))
  config.data.labels = 'per_class:5'
  return config


def test_report_finds_everything(damaged, tmp_path):
  splits = dataset.load(damaged.data)
  subset = labels.select(damaged.data, splits.train)
  (tmp_path / 'images' / 'cat' / '002.png').unlink()
  found = report(damaged, splits, subset, decode=True)
  assert (found.train, found.test, found.classes) == (42, 0, 2)
  assert (found.labelled, found.unlabelled) == (10, 1)
  assert found.per_class == {'cat': 5, 'dog': 5}
  assert found.missing == ['cat/002.png']
  assert found.duplicates == ['dog/copy.png']
  assert found.unreadable == ['cat/000.png', 'cat/002.png']
  assert [p.split(' ')[:4] for p in found.problems] == [
    ['The', 'train', 'set', 'has'],
    ['The', 'train', 'set', 'has'],
  ]
  assert 'no test set' in found.notes[0]
  lines = str(found).splitlines()
  assert any('cat 5, dog 5' in line for line in lines)
  assert all(len(line) > 22 and line[21] == ' ' for line in lines)


def test_report_without_decoding(damaged):
  damaged.data.test_holdout = 0.2
  splits = dataset.load(damaged.data)
  subset = labels.select(damaged.data, splits.train)
  found = report(damaged, splits, subset, decode=False)
  assert found.unreadable is None and found.problems == []
  assert 'not tried' in str(found)


def test_corrupt_count_stops_over_its_limit(damaged, caplog):
  train = dataset.load(damaged.data).train
  count = CorruptCount(train, 0.05)
  with caplog.at_level('WARNING'):
    count.add(np.array([3]))
    count.add(np.array([3, 4]))
  assert count.count == 2
  assert caplog.text.count(train.ids[3]) == 1
  with pytest.raises(ValueError, match=r'3 unreadable .* \(7.14% of 42\)'):
    count.add(np.array([5]))
  count.start_epoch()
  count.add(np.array([3, 4]))
  with pytest.raises(ValueError, match=r'2 unreadable .* here and 9 in all'):
    count.check(9)


def test_corrupt_count_admits_exactly_the_limit(damaged):
  train = dataset.load(damaged.data).train
  CorruptCount(train.select(np.arange(20)), 0.05).add(np.array([1]))
  with pytest.raises(ValueError, match='unreadable'):
    CorruptCount(train.select(np.arange(20)), 0.0).add(np.array([1]))
