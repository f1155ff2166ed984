"""tf.train.Example read without TensorFlow, against TensorFlow."""

import contextlib

import hypothesis
from hypothesis import strategies as st
import pytest

from semppl_jax.data.sources import example
from semppl_jax.data.tf.runtime import tf

VALUES = st.one_of(
  st.lists(st.binary(max_size=300), max_size=3),
  st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=3),
  st.lists(st.floats(width=32), min_size=1, max_size=2),
)


def encode(features):
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
  found = example.parse(memoryview(encode(features)))
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
  assert example.parse(memoryview(record)) == {'a': 300}
  assert tf.train.Example.FromString(record).features.feature[
    'a'
  ].int64_list.value == [300]


@hypothesis.given(st.binary(max_size=60))
@hypothesis.settings(max_examples=100, deadline=None)
def test_whatever_the_bytes_there_is_no_other_error(content):
  with contextlib.suppress(ValueError):
    example.parse(memoryview(content))


def test_what_is_cut_short_is_no_example():
  whole = encode({'image': [b'x' * 200], 'label': [3]})
  for end in (1, 2, 10, len(whole) - 1):
    with pytest.raises(ValueError, match='not a tf'):
      example.parse(memoryview(whole[:end]))
