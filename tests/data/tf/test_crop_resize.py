"""Resized boxes against Pillow and against a slow version."""

import numpy as np
from PIL import Image
import pytest

from semppl_jax.data.tf import crop_resize
from semppl_jax.data.tf.crop_resize import Filter
from semppl_jax.data.tf.runtime import tf
from tests.helpers.slow_resize import slow_resize

BOXES = np.array(
  [[[0, 0, 31, 23], [3, 5, 20, 11]], [[2, 1, 7, 7], [0, 9, 9, 30]]]
)
FLIPS = np.array([[False, True], [True, False]])


def crops(images, boxes, flips, size, resize_filter):
  images = [*map(tf.constant, images)]
  matrices = crop_resize.to_matrices(images, crop_resize.image_sizes(images))
  boxes, flips = tf.constant(boxes, tf.int32), tf.constant(flips)
  return crop_resize.crop_and_resize(
    matrices, boxes, flips, size, resize_filter
  ).numpy()


def noise(*shapes):
  rng = np.random.default_rng(0)
  return [rng.integers(0, 256, (*x, 3), dtype=np.uint8) for x in shapes]


# Squares of 150 pixels are finished one by one, smaller ones together.
@pytest.mark.parametrize('size', [9, 150])
def test_boxes_equal_a_slow_version(size):
  images = noise((31, 23), (12, 40))
  found = crops(images, BOXES, FLIPS, size, Filter('bilinear'))
  for n, v in np.ndindex(2, 2):
    top, left, height, width = BOXES[n, v]
    box = images[n][top : top + height, left : left + width].astype(float)
    expected = slow_resize(box, size)
    expected = expected[:, ::-1] if FLIPS[n, v] else expected
    np.testing.assert_allclose(found[n, v], expected, atol=0.501)


@pytest.mark.parametrize('interpolation', ['bilinear', 'bicubic'])
def test_antialiased_boxes_are_those_of_pillow(interpolation):
  """The widened kernel; Pillow's cubic has a = -0.5 too."""
  images = noise((61, 83), (40, 51))
  kernel = getattr(Image.Resampling, interpolation.upper())
  found = crops(images, BOXES, FLIPS, 7, Filter(interpolation, True))
  for n, v in np.ndindex(2, 2):
    top, left, height, width = BOXES[n, v]
    box = Image.fromarray(images[n][top : top + height, left : left + width])
    expected = np.asarray(box.resize((7, 7), kernel), float)
    got = found[n, v][:, ::-1] if FLIPS[n, v] else found[n, v]
    # Each rounds to bytes once or twice on the way.
    np.testing.assert_allclose(got, expected, atol=2)


def test_bicubic_overshoot_is_clipped():
  # A step edge: bicubic overshoots 255 and undershoots 0.
  image = np.zeros((8, 8, 3), np.uint8)
  image[:, 4:] = 255
  boxes = [[[0, 0, 8, 8], [1, 2, 5, 4]]]
  found = crops([image], boxes, [[False, True]], 32, Filter('bicubic'))
  # Without clipping, values wrap around and break the order along a row.
  rows = found[0, ..., 0].astype(int)
  assert (np.diff(rows[0]) >= 0).all() and (np.diff(rows[1]) <= 0).all()


def test_no_views_are_an_empty_array():
  found = crops(
    noise((5, 5)), np.zeros((1, 0, 4)), np.zeros((1, 0), bool), 4,
    Filter('bilinear'),
  )  # fmt: skip
  assert found.shape == (1, 0, 4, 4, 3) and found.dtype == np.uint8
