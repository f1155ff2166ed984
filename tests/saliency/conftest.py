"""Small images on the disk, as files and as records."""

import pathlib

import pytest

from semppl_jax.data import dataset
from semppl_jax.saliency import images
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
  return dataset.load(images.of(place)).train


@pytest.fixture
def folder_of_images(tmp_path):
  """Twenty images as files: of RGB, of grey, with alpha, of 1 x 1."""

  def image(number, size):
    mode = ('RGB', 'L', 'RGBA')[number % 3]
    return encoded(number, (1, 1) if number == 7 else size, mode)

  return write_folder(tmp_path / 'mixed', 20, image=image)
