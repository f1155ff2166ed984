"""A small untrained network with and without the run that it comes from."""

import pytest

from semppl_jax.labelling.model import Model
from tests.helpers import tiny


@pytest.fixture(scope='session')
def foreign(images):
  """A network without a run, as from a file."""
  weights = tiny.weights(tiny.config(images), ())
  return Model(weights._replace(config=None, class_names=()))


@pytest.fixture(scope='session')
def of_run(images):
  """A network of a run with 6 labelled images of each class."""
  config = tiny.config(images)
  weights = tiny.weights(config, ())
  return Model(weights._replace(config=config.lock()))
