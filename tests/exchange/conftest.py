"""Files of a small network, each written once for all tests."""

import functools

import pytest

from semppl_jax.exchange import formats
from tests.helpers import random_weights


@pytest.fixture(scope='session')
def written(tmp_path_factory):
  """From a format's name to the weights, the heads and the file."""
  # The head on top brings the one below, which is not an output.
  heads = ('predictor', 'classifier')

  @functools.cache
  def write(name):
    weights = random_weights.make()
    path = tmp_path_factory.mktemp(name) / 'file'
    formats.load(name).check(weights, heads)
    formats.load(name).write(path, weights, heads)
    return weights, heads, path

  return write
