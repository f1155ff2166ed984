from hypothesis import given, settings, strategies as st
import ml_collections
import numpy as np
import pytest

from semppl_jax.data import dataset, labels
from semppl_jax.data.sources.folder import FileSource


def settings_of(spec, seed=0):
  return ml_collections.ConfigDict(
    {'kind': 'folder', 'path': '', 'labels': spec, 'labels_seed': seed}
  )


def train_set(label):
  label = np.asarray(label, np.int32)
  ids = np.array([f'{c}/{i:04}.png' for i, c in enumerate(label)])
  names = tuple(f'c{i}' for i in range(label.max() + 1))
  return dataset.Dataset('train', ids, label, names, FileSource('', ids))


def random_set(data):
  sizes = data.draw(st.lists(st.integers(1, 30), min_size=2, max_size=6))
  label = np.repeat(np.arange(len(sizes)), sizes)
  bare = np.full(data.draw(st.integers(0, 20)), -1)
  rng = np.random.default_rng(data.draw(st.integers(0, 99)))
  return train_set(rng.permutation(np.concatenate([label, bare]))), sizes


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_fraction_is_balanced_and_seeded(data):
  train, sizes = random_set(data)
  share = data.draw(st.floats(0.01, 1.0))
  seed = data.draw(st.integers(0, 1000))
  config = settings_of(f'fraction:{share}', seed)
  subset = labels.select(config, train)
  assert (np.diff(subset.index) > 0).all() and subset.index.dtype == np.int32
  counts = np.bincount(train.labels[subset.index])
  for count, size in zip(counts, sizes, strict=True):
    assert 1 <= count <= size
    assert abs(count - share * size) <= 1
  again = labels.select(config, train)
  np.testing.assert_array_equal(again.index, subset.index)
  assert again.hash == subset.hash


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_per_class_takes_the_same_number(data):
  train, sizes = random_set(data)
  count = data.draw(st.integers(1, min(sizes)))
  subset = labels.select(settings_of(f'per_class:{count}'), train)
  np.testing.assert_array_equal(
    np.bincount(train.labels[subset.index]), [count] * len(sizes)
  )


def test_seed_and_labels_change_the_hash():
  train = train_set(np.arange(200) % 4)
  one = labels.select(settings_of('per_class:5', 0), train)
  two = labels.select(settings_of('per_class:5', 1), train)
  assert one.hash != two.hash and (one.index != two.index).any()
  renamed = train._replace(ids=np.char.add('x', train.ids))
  assert labels.select(settings_of('per_class:5'), renamed).hash != one.hash
  moved = train._replace(labels=(train.labels + 1) % 4)
  ids = settings_of('all')
  assert labels.select(ids, moved).hash != labels.select(ids, train).hash


def test_all_takes_every_label():
  train = train_set([0, -1, 1, -1, 1])
  np.testing.assert_array_equal(
    labels.select(settings_of('all'), train).index, [0, 2, 4]
  )


def test_ids_file_gives_the_subset_back(tmp_path):
  train = train_set(np.arange(60) % 3)
  subset = labels.select(settings_of('fraction:0.2'), train)
  file = str(tmp_path / 'ids.txt')
  labels.write_ids(file, subset, train)
  again = labels.select(settings_of(f'ids:{file}'), train)
  np.testing.assert_array_equal(again.index, subset.index)
  assert again.hash == subset.hash


def test_ids_file_takes_bare_file_names(tmp_path):
  train = train_set([0, 1, 0, 1])
  file = tmp_path / 'ids.txt'
  file.write_text('0003.png\n0/0000.png\n\n')
  subset = labels.select(settings_of(f'ids:{file}'), train)
  np.testing.assert_array_equal(subset.index, [0, 3])


def test_ids_file_problems_are_told_at_once(tmp_path):
  train = train_set([0, 1, 0, -1])
  file = tmp_path / 'ids.txt'
  file.write_text('no1\nno2\n0/0000.png\n0/0000.png\n-1/0003.png\n')
  with pytest.raises(ValueError) as error:
    labels.select(settings_of(f'ids:{file}'), train)
  for part in (
    "2 unknown id(s): 'no1', 'no2'",
    "1 repeated id(s): '0/0000.png'",
    "1 id(s) of images without a label: '-1/0003.png'",
  ):
    assert part in str(error.value)


@pytest.mark.parametrize(
  ('spec', 'message'),
  [
    ('ids:nowhere.txt', 'cannot be read'),
    ('fraction:0', 'share above 0'),
    ('fraction:1.5', 'share above 0'),
    ('fraction:x', 'must end in a number'),
    ('per_class:0', 'at least 1'),
    ('per_class:1.5', 'must end in a number'),
    ('per_class:3', r"1 class\(es\) with fewer images: 'c1 \(2\)'"),
    ('some', 'must be one of all, fraction'),
    ('', 'must be one of all, fraction'),
  ],
)
def test_bad_spec_is_named(spec, message):
  train = train_set([0, 0, 0, 1, 1])
  with pytest.raises(ValueError, match=message) as error:
    labels.select(settings_of(spec), train)
  assert f'config.data.labels={spec!r}' in str(error.value)


def test_class_without_labels_is_named():
  train = train_set([0, 0, 2])
  with pytest.raises(ValueError, match="without a labelled image: 'c1'"):
    labels.select(settings_of('all'), train)
  with pytest.raises(ValueError, match='needs labelled images'):
    labels.select(
      settings_of('all'), train._replace(labels=np.full(3, -1, np.int32))
    )
