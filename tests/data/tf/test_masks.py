import io

import numpy as np
from PIL import Image
import pytest

from semppl_jax.data.tf import masks, random_resized_crop
from semppl_jax.data.tf.crop_resize import Filter
from semppl_jax.data.tf.runtime import tf
from tests.helpers.mask_files import png


def test_grey_masks_have_their_threshold_in_the_middle():
  stream = io.BytesIO()
  Image.fromarray(np.arange(256, dtype=np.uint8)[None]).save(stream, 'PNG')
  got, usable = masks.decode_mask(tf.constant(stream.getvalue()))
  np.testing.assert_array_equal(got[0, :, 0], np.arange(256) > 127)
  assert usable


@pytest.mark.parametrize('size', [(1, 1), (3, 40), (100, 100)])
def test_blank_masks_are_told_from_those_of_one_pixel(size):
  for blank in (np.zeros(size, bool), np.ones(size, bool)):
    got, usable = masks.decode_mask(tf.constant(png(blank)))
    assert (got.numpy() == 1).all() and not usable
    if size != (1, 1):
      blank[-1, -1] ^= True
      got, usable = masks.decode_mask(tf.constant(png(blank)))
      np.testing.assert_array_equal(got[..., 0], blank)
      assert usable
  assert not masks.decode_mask(tf.constant(b''))[1]


@pytest.mark.parametrize('size', [(31, 23), (62, 46), (10, 50), (1, 1)])
def test_crops_of_any_size_equal_a_slow_version(size):
  """The mask scaled to its image, cut, scaled to the crop, and flipped."""
  rng = np.random.default_rng(0)
  kind = Filter('bilinear')
  views = random_resized_crop.CropSettings(
    (8, 0), (9, 4), ((0.05, 1.0),) * 8, ((0.5, 2.0),) * 8, kind, 0.5
  )
  mask = rng.integers(0, 2, (*size, 1), dtype=np.uint8)
  numbers = random_resized_crop.draw(
    0, tf.constant(0, tf.int64), tf.constant([0]), 8
  )
  [boxes] = random_resized_crop.crop_boxes(
    numbers, tf.constant([(31, 23)]), views
  )
  flips = numbers[0, :, -1] < 0.5
  got = masks.crop_mask(
    tf.constant(mask), tf.constant((31, 23)), boxes, flips, 9
  )
  scaled = _scaled(mask[..., 0], 31, 23)
  assert 0 < np.sum(flips) < 8
  for view in range(8):
    top, left, height, width = boxes[view].numpy()
    want = _scaled(scaled[top : top + height, left : left + width], 9, 9)
    want = want[:, ::-1] if flips[view] else want
    np.testing.assert_array_equal(got[view], want)


def _scaled(mask, height, width):
  rows = [int((i + 0.5) * len(mask) / height) for i in range(height)]
  cols = [int((j + 0.5) * len(mask[0]) / width) for j in range(width)]
  return np.array([[mask[i, j] for j in cols] for i in rows])
