"""Images of any size, and arrays that are none."""

import numpy as np
import pytest

from semppl_jax.saliency import image as image_lib


@pytest.mark.parametrize(
  'image',
  [
    np.zeros((4, 5), np.uint8),
    np.zeros((1, 4, 5, 3), np.uint8),
    np.zeros((4, 5, 4), np.uint8),
    np.zeros((4, 5, 3), np.float32),
    np.zeros((0, 5, 3), np.uint8),
  ],
)
def test_what_is_no_image_is_one_sentence(image):
  with pytest.raises(ValueError, match=r'^An image .*, and is \[.*\] of .*\.$'):
    image_lib.look(image)


@pytest.mark.parametrize(
  ('shape', 'small'),
  [
    ((1, 1), (1, 1)),
    ((200, 150), (200, 150)),
    ((300, 400), (150, 200)),
    ((401, 300), (200, 150)),
    ((300, 401), (150, 200)),
    ((900, 2), (200, 1)),
    ((2, 900), (1, 200)),
  ],
)
def test_only_large_images_shrink(shape, small):
  image = np.zeros((*shape, 3), np.uint8)
  assert image_lib.look(image).lab.shape == (*small, 3)


def test_grey_is_light_alone():
  image = np.full((300, 400, 3), 119, np.uint8)
  lab = image_lib.look(image).lab
  np.testing.assert_allclose(lab[..., 0], 50, atol=0.1)
  np.testing.assert_allclose(lab[..., 1:], 0, atol=0.01)
  assert lab.dtype == np.float32


def test_shrinking_averages():
  stripes = np.tile(np.float32([0, 1]), (100, 200))[..., None]
  assert image_lib.shrink(stripes, 50).std() < 0.03
