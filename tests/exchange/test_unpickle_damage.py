"""Damaged pickles are read, or refused in one sentence."""

import pickle

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from semppl_jax.models.weights import WeightsError
from tests.helpers import hostile


@pytest.mark.parametrize('protocol', [0, 2, 4])
def test_every_truncation_is_one_sentence(protocol):
  data = pickle.dumps({'w': np.arange(3.0), 'x': [1, {'y': 2}]}, protocol)
  for length in range(len(data)):
    assert 'damaged' in hostile.refusal(data[:length])


_WHOLE = pickle.dumps({'w': np.arange(3.0), 'x': [1, {'y': (2, 'z')}]}, 2)


@settings(max_examples=300, deadline=None)
@given(
  changes=st.lists(
    st.tuples(st.integers(0, len(_WHOLE) - 1), st.integers(0, 255)),
    min_size=1,
    max_size=4,
  )
)
def test_any_change_is_read_or_refused(changes):
  data = bytearray(_WHOLE)
  for place, value in changes:
    data[place] = value
  try:
    hostile.load(bytes(data))
  except WeightsError as error:
    assert str(error).startswith(hostile.ORIGIN)


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(data):
  try:
    hostile.load(data + b'.')
  except WeightsError as error:
    assert str(error).startswith(hostile.ORIGIN)
