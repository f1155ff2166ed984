"""Images decoded by Pillow as TensorFlow decodes them."""

import io

import hypothesis
from hypothesis import strategies as st
import numpy as np
from PIL import Image
import pytest

from semppl_jax.data import pillow
from semppl_jax.data.tf import decode, random_resized_crop
from semppl_jax.data.tf.runtime import tf
from tests.helpers.image_sets import encoded

LARGE = (10**6, 10**6)


def _both(content):
  ours = pillow.decode(content, LARGE, 'bicubic')
  theirs = decode.decode_image(tf.constant(content)).numpy()
  assert ours.dtype == np.uint8 and ours.shape == theirs.shape
  return ours, theirs


@pytest.mark.parametrize(
  ('mode', 'kind'),
  [
    ('RGB', 'PNG'), ('L', 'PNG'), ('RGBA', 'PNG'), ('LA', 'PNG'),
    ('P', 'PNG'), ('1', 'PNG'), ('RGB', 'BMP'), ('P', 'GIF'),
  ],
)  # fmt: skip
def test_as_tensorflow_does(mode, kind):
  np.testing.assert_array_equal(*_both(encoded(1, mode=mode, kind=kind)))


@pytest.mark.parametrize('mode', ['RGB', 'L'])
def test_jpegs_nearly_as_tensorflow_does(mode):
  """Its own build of the decoder rounds otherwise here and there."""
  ours, theirs = _both(encoded(1, (40, 30), mode, 'JPEG'))
  difference = np.abs(ours.astype(int) - theirs)
  assert difference.max() <= 8 and difference.mean() < 1.5


def test_sixteen_bits_give_the_upper_eight():
  pixels = np.arange(0, 65536, 546, dtype=np.uint16)[:120].reshape(10, 12)
  stream = io.BytesIO()
  Image.fromarray(pixels).save(stream, 'PNG')
  ours, theirs = _both(stream.getvalue())
  np.testing.assert_array_equal(ours[..., 0], pixels >> 8)
  np.testing.assert_array_equal(ours, theirs)


def test_orientation_is_not_looked_at():
  image = Image.fromarray(np.zeros((8, 4, 3), np.uint8))
  exif = Image.Exif()
  exif[0x0112] = 6  # Turned by a quarter.
  stream = io.BytesIO()
  image.save(stream, 'JPEG', exif=exif)
  ours, theirs = _both(stream.getvalue())
  assert ours.shape == theirs.shape == (8, 4, 3)


@pytest.mark.parametrize('content', [b'', b'no image', encoded(1)[:60]])
def test_what_is_no_image_is_unreadable(content):
  with pytest.raises(pillow.UNREADABLE):
    pillow.decode(content, LARGE, 'bicubic')


@hypothesis.given(
  st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 600),
  st.integers(1, 600),
)  # fmt: skip
def test_what_is_fitted_is_no_larger_and_keeps_its_shape(h, w, most_h, most_w):
  height, width = pillow.fit((h, w), (most_h, most_w))
  assert 1 <= height <= most_h and 1 <= width <= most_w
  if h <= most_h and w <= most_w:
    assert (height, width) == (h, w)
  else:
    assert height == most_h or width == most_w
    scale = min(most_h / h, most_w / w)
    assert abs(height - scale * h) <= 1 and abs(width - scale * w) <= 1


@pytest.mark.parametrize('kind', ['PNG', 'JPEG'])
def test_large_images_are_scaled_down(kind):
  ramp = np.linspace(0, 255, 200).astype(np.uint8)
  image = np.broadcast_to(ramp[:, None, None], (200, 100, 3))
  stream = io.BytesIO()
  Image.fromarray(image).save(stream, kind, quality=95)
  found = pillow.decode(stream.getvalue(), (40, 60), 'bicubic')
  assert found.shape == (40, 20, 3)
  expected = ramp.reshape(40, 5).mean(axis=1)
  assert np.abs(found[:, 10, 1] - expected).max() < 4
  assert pillow.image_size(stream.getvalue()) == (200, 100)


def test_a_mask_has_the_shape_of_its_image():
  mask = np.zeros((6, 4), np.uint8)
  mask[:3] = 200
  stream = io.BytesIO()
  Image.fromarray(mask).save(stream, 'PNG')
  same = pillow.decode_mask(stream.getvalue(), (6, 4))
  np.testing.assert_array_equal(same, mask > 127)
  twice = pillow.decode_mask(stream.getvalue(), (12, 8))
  np.testing.assert_array_equal(twice, np.kron(same, np.ones((2, 2))))


@pytest.mark.parametrize('shape', [(9, 12), (32, 20), (16, 16), (5, 4)])
def test_the_centre_is_that_of_the_other_path(shape):
  """The same box; without scaling, the same pixels."""
  image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
  for resize, crop in ((16, 12), (min(shape), min(shape)), (8, 8)):
    ours = pillow.center_crop(image, resize, crop, 'bilinear')
    [theirs] = random_resized_crop.center_crops(
      [tf.constant(image)], resize, crop, 'bilinear'
    ).numpy()
    assert ours.shape == theirs.shape == (crop, crop, 3)
    if resize == min(shape):
      np.testing.assert_array_equal(ours, theirs)
