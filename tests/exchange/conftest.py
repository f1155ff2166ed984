"""Files of a small network, each written once for all tests."""

import functools

import jax
import pytest

from semppl_jax.exchange import export
from semppl_jax.models.weights import WeightsError
from tests.helpers import random_weights


def skip_if_unreadable(name, weights):
  """Skips SavedModels on a JAX that is too new for TensorFlow."""
  if name == 'saved_model' and jax.__version_info__ >= (0, 12):
    try:
      export.load_format(name).check(weights, ())
    except WeightsError as error:
      pytest.skip(str(error))


@pytest.fixture(scope='session')
def written(tmp_path_factory):
  """From a format's name to the weights, the heads and the file."""
  # The head on top brings the one below, which is not an output.
  heads = ('predictor', 'classifier')

  @functools.cache
  def write(name):
    weights = random_weights.make()
    path = tmp_path_factory.mktemp(name) / 'file'
    skip_if_unreadable(name, weights)
    export.load_format(name).check(weights, heads)
    export.load_format(name).write(path, weights, heads)
    return weights, heads, path

  return write


@pytest.fixture
def small(monkeypatch):
  """Settings of a ResNet-18 of few channels, as of a foreign file."""
  random_weights.shrink(monkeypatch)
  return random_weights.foreign()
