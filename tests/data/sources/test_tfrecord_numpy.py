"""TFRecord files read without TensorFlow, against TensorFlow."""

import contextlib
import glob

import hypothesis
from hypothesis import strategies as st
import numpy as np
import pytest

from semppl_jax.data.sources import tfrecord_numpy, tfrecord_tf
from semppl_jax.data.sources.tfrecord_index import Shard
from semppl_jax.data.tf.runtime import tf
from tests.helpers.image_sets import encoded, write_records


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
  path = str(tmp_path / 'x.tfrecord')
  with tf.io.TFRecordWriter(path) as writer:
    writer.write(tf.train.Example().SerializeToString())
  with pytest.raises(ValueError, match="none of \\('image', 'image/encoded'"):
    tfrecord_numpy.index_records([Shard(path)], 'HERE')


VALUES = st.one_of(
  st.lists(st.binary(max_size=300), max_size=3),
  st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=3),
  st.lists(st.floats(width=32), min_size=1, max_size=2),
)


def encode_example(features):
  kinds = {bytes: 'bytes_list', int: 'int64_list', float: 'float_list'}
  made = {}
  for name, values in features.items():
    feature = tf.train.Feature()
    kind = kinds[type(values[0])] if values else 'bytes_list'
    getattr(feature, kind).value.extend(values)
    made[name] = feature
  proto = tf.train.Example(features=tf.train.Features(feature=made))
  return proto.SerializeToString()


@hypothesis.given(st.dictionaries(st.text(max_size=8), VALUES, max_size=5))
@hypothesis.settings(max_examples=60, deadline=None)
def test_the_first_value_of_each_feature(features):
  found = tfrecord_numpy.parse_example(memoryview(encode_example(features)))
  assert found == {
    name: values[0]
    for name, values in features.items()
    if values and not isinstance(values[0], float)
  }


def test_integers_that_stand_alone():
  """As older writers encode them, one field for each."""
  # Feature{int64_list{value: 300}} in an entry called 'a'.
  integers = bytes([0x08, 0xAC, 0x02])
  feature = bytes([0x1A, len(integers)]) + integers
  entry = bytes([0x0A, 1]) + b'a' + bytes([0x12, len(feature)]) + feature
  features = bytes([0x0A, len(entry)]) + entry
  record = bytes([0x0A, len(features)]) + features
  assert tfrecord_numpy.parse_example(memoryview(record)) == {'a': 300}
  assert tf.train.Example.FromString(record).features.feature[
    'a'
  ].int64_list.value == [300]


@hypothesis.given(st.binary(max_size=60))
@hypothesis.settings(max_examples=100, deadline=None)
def test_whatever_the_bytes_there_is_no_other_error(content):
  with contextlib.suppress(ValueError):
    tfrecord_numpy.parse_example(memoryview(content))


def test_what_is_cut_short_is_no_example():
  whole = encode_example({'image': [b'x' * 200], 'label': [3]})
  for end in (1, 2, 10, len(whole) - 1):
    with pytest.raises(ValueError, match='not a tf'):
      tfrecord_numpy.parse_example(memoryview(whole[:end]))
