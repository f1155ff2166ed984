import pathlib

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from semppl_jax.data.sources import tfrecord_index, tfrecord_tf
from semppl_jax.data.sources.tfrecord_index import Shard
from semppl_jax.data.sources.tfrecord_tf import read_records
from semppl_jax.data.tf.runtime import tf
from tests.helpers.image_sets import write_records

LENGTHS = (12, 1, 10, 14, 12)


@pytest.fixture(scope='module')
def files(tmp_path_factory):
  pattern = write_records(tmp_path_factory.mktemp('records'), LENGTHS)
  return sorted(tf.io.gfile.glob(pattern))


def sequential(shards):
  return [
    x for s in shards for x in tfrecord_tf.records(*s).as_numpy_iterator()
  ]


def shards_of(files, pieces):
  """A piece is a file and the records before and in it."""
  return [Shard(files[f % len(files)], skip, take) for f, skip, take in pieces]


# Not more than there are in the file.
PIECES = st.integers(0, len(LENGTHS) - 1).flatmap(
  lambda f: st.tuples(
    st.just(f), st.integers(0, LENGTHS[f]), st.integers(-1, LENGTHS[f])
  )
)


@settings(max_examples=25, deadline=None)
@given(st.data(), st.lists(PIECES, min_size=1, max_size=5))
def test_any_order_equals_reading_front_to_back(files, data, pieces):
  shards = shards_of(files, pieces)
  stored = sequential(shards)
  if not stored:
    return
  source = tfrecord_tf.index_records(shards, 'path').source
  wanted = st.lists(st.integers(0, len(stored) - 1), max_size=30)
  indices = np.array(data.draw(wanted), np.int32)
  assert read_records(source, indices) == [stored[i] for i in indices]
  np.testing.assert_array_equal(source.sizes, list(map(len, stored)))
  assert source.mean_bytes == np.mean(list(map(len, stored)))


def test_a_selection_is_read_by_its_own_numbers(files):
  shards = [Shard(file) for file in files]
  stored = sequential(shards)
  rows = np.array([0, 5, 12, 13, 40, 48])
  source = tfrecord_tf.index_records(shards, 'path').source.select(rows)
  got = read_records(source, np.array([5, 0, 2, 3]))
  assert got == [stored[i] for i in (48, 0, 12, 13)]


def test_places_are_kept_in_the_cache(files, monkeypatch):
  shards = shards_of(files, [(0, 3, 5), (3, 2, -1)])
  first = tfrecord_tf.index_records(shards, 'path').source
  monkeypatch.setattr(tfrecord_tf, '_scan', None)
  again = tfrecord_tf.index_records(shards, 'path').source
  np.testing.assert_array_equal(again.offsets, first.offsets)
  np.testing.assert_array_equal(again.sizes, first.sizes)
  # An index of before, without places, is made anew.
  monkeypatch.setattr(tfrecord_index, '_INDEX_VERSION', 1)
  with pytest.raises(TypeError):
    tfrecord_tf.index_records(shards, 'path')


@pytest.mark.parametrize('change', ['moved', 'shorter', 'cut', 'gone'])
def test_a_changed_file_is_one_sentence(tmp_path, change):
  pattern = write_records(tmp_path, (6, 8))
  shards = [Shard(file) for file in sorted(tf.io.gfile.glob(pattern))]
  source = tfrecord_tf.index_records(shards, 'path').source
  file = pathlib.Path(shards[1].file)
  whole = file.read_bytes()
  message = r'part-1.tfrecord.* has changed since it was indexed.* \d+ bytes at'
  if change == 'moved':
    file.write_bytes(b'x' + whole)
  elif change == 'shorter':
    file.write_bytes(whole[: len(whole) // 2])
  elif change == 'cut':
    file.write_bytes(whole[:-5])
  else:
    file.unlink()
    message = r'^config\.data: .*part-1.tfrecord.* cannot be read: '
  with pytest.raises(ValueError, match=message):
    read_records(source, np.array([0, 13]))
  # The other file is as it was.
  assert read_records(source, np.array([5])) == sequential(shards[:1])[5:]
