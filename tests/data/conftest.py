"""A config that reads small image sets, and no cache but its own."""

import ml_collections
import pytest

from configs import base
from tests.helpers.image_sets import write_folder, write_records


@pytest.fixture
def config() -> ml_collections.ConfigDict:
  c = base.get_config()
  c.unlock()
  c.batch_size = 16
  c.seed = 3
  c.data.labels = 'all'
  c.data.threads = 2
  c.data.shuffle_gib = 1e-5
  c.views.large = dict(count=2, size=8, area=(0.2, 1.0), aspect=(3 / 4, 4 / 3))
  c.views.small = dict(count=1, size=4, area=(0.1, 0.3), aspect=(3 / 4, 4 / 3))
  c.views.interpolation = 'bilinear'
  c.eval.resize = 10
  c.eval.crop = 8
  return c


@pytest.fixture(params=['folder', 'tfrecord'])
def any_config(request, config, tmp_path):
  """The config of a set of 48 images, as files and as records."""
  config.data.kind = request.param
  if request.param == 'folder':
    config.data.path = write_folder(tmp_path / 'images', 48)
  else:
    config.data.path = write_records(tmp_path / 'records')
  return config
