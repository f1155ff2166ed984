import pytest

from semppl_jax.data import dataset, labels
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
