"""Small images on the disk, and the file of a mask network."""

import pathlib

import pytest

from semppl_jax.data import dataset
from semppl_jax.saliency import generate, network_io
from tests.helpers import mask_networks
from tests.helpers.image_sets import encoded, write_folder, write_records


@pytest.fixture(params=['folder', 'tfrecord'])
def place(request, tmp_path):
  """Forty images, one of them unreadable, as `--data` names them."""
  if request.param == 'tfrecord':
    return write_records(tmp_path / 'records', (12, 28), bad=(3,))
  root = write_folder(tmp_path / 'images')
  pathlib.Path(root, 'cat', '004.png').write_bytes(b'')
  return root


@pytest.fixture
def data(place):
  return dataset.load(generate.data_config(place)).train


@pytest.fixture
def folder_of_images(tmp_path):
  """Twenty images as files: of RGB, of grey, with alpha, of 1 x 1."""

  def image(number, size):
    mode = ('RGB', 'L', 'RGBA')[number % 3]
    return encoded(number, (1, 1) if number == 7 else size, mode)

  return write_folder(tmp_path / 'mixed', 20, image=image)


@pytest.fixture(scope='session')
def network_file(tmp_path_factory):
  """A network that is not trained."""
  path = str(tmp_path_factory.mktemp('network') / 'network.safetensors')
  network_io.write(path, mask_networks.SMALL, mask_networks.init())
  return path
