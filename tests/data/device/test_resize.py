"""Boxes scaled by two matrices, against Pillow and by hand."""

import hypothesis
from hypothesis import strategies as st
import jax.numpy as jnp
import numpy as np
from PIL import Image
import pytest

from semppl_jax.data.device import resize

FILTERS = {
  'bicubic': Image.Resampling.BICUBIC,
  'bilinear': Image.Resampling.BILINEAR,
}


def _images(shape, seed=0):
  return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def _crop(images, boxes, flips, size, kernel):
  return np.asarray(
    resize.crop(
      jnp.asarray(images),
      jnp.asarray(boxes, jnp.int32),
      jnp.asarray(flips),
      size=size,
      kernel=kernel,
    )
  )


def _pillow(image, box, flip, size, kernel):
  top, left, height, width = box
  cut = image[top : top + height, left : left + width]
  planes = [
    # One channel in float: Pillow rounds between its two passes of uint8.
    np.asarray(
      Image.fromarray(cut[..., c].astype(np.float32)).resize(
        (size, size), FILTERS[kernel]
      )
    )
    for c in range(image.shape[-1])
  ]
  scaled = np.clip(np.round(np.stack(planes, axis=-1)), 0, 255)
  return (scaled[:, ::-1] if flip else scaled).astype(np.uint8)


@pytest.mark.parametrize('kernel', FILTERS)
@hypothesis.given(st.data())
@hypothesis.settings(max_examples=25, deadline=None)
def test_as_pillow_does(kernel, data):
  height, width = (data.draw(st.integers(1, 20)) for _ in range(2))
  h = data.draw(st.integers(1, height))
  w = data.draw(st.integers(1, width))
  top = data.draw(st.integers(0, height - h))
  left = data.draw(st.integers(0, width - w))
  flip = data.draw(st.booleans())
  # Of one shape, so that one compiled function serves all.
  image = np.zeros((20, 20, 3), np.uint8)
  image[:height, :width] = _images(
    (height, width, 3), data.draw(st.integers(0))
  )
  ours = _crop(image[None], [[[top, left, h, w]]], [[flip]], 7, kernel)[0, 0]
  theirs = _pillow(image, (top, left, h, w), flip, 7, kernel)
  # A sum that ends near one half may round to either side.
  assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_in_the_middle_of_two_levels_the_higher_one():
  """Whatever order a sum has: bilinear at twice the size gives quarters."""
  image = _images((8, 8, 3)).astype(int)
  found = _crop(image[None].astype(np.uint8), [[[0, 0, 8, 8]]], [[False]], 16,
                'bilinear')[0, 0]  # fmt: skip
  padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), 'edge')
  rows = np.arange(16)
  near, far = 1 + rows // 2, 1 + rows // 2 + np.where(rows % 2, 1, -1)
  quarters = 3 * padded[near] + padded[far]
  sixteenths = 3 * quarters[:, near] + quarters[:, far]
  assert (sixteenths % 16 == 8).mean() > 0.03  # There are such.
  np.testing.assert_array_equal(found, (sixteenths + 8) // 16)


def test_every_view_and_image_has_its_own_box():
  images = _images((2, 6, 8, 3))
  boxes = [[[0, 0, 4, 4], [2, 3, 4, 4]], [[1, 1, 4, 4], [0, 4, 4, 4]]]
  flips = [[False, True], [True, False]]
  found = _crop(images, boxes, flips, 4, 'bicubic')
  for b, v in np.ndindex(2, 2):
    top, left, _, _ = boxes[b][v]
    exact = images[b, top : top + 4, left : left + 4]
    # No scaling: the pixels themselves.
    np.testing.assert_array_equal(
      found[b, v], exact[:, ::-1] if flips[b][v] else exact
    )


def test_nothing_beyond_the_box_is_seen():
  image = np.full((1, 9, 9, 3), 200, np.uint8)
  image[:, 2:7, 2:7] = 50
  found = _crop(image, [[[2, 2, 5, 5]]], [[False]], 8, 'bicubic')
  np.testing.assert_array_equal(found, 50)


def test_shrinking_averages_and_does_not_alias():
  stripes = np.zeros((1, 16, 16, 3), np.uint8)
  stripes[:, ::2] = 255
  found = _crop(stripes, [[[0, 0, 16, 16]]], [[False]], 4, 'bilinear')
  # The middle rows see as much of either; the outer ones lack a neighbour.
  assert np.abs(found[0, 0, 1:3].astype(int) - 127).max() <= 1


@pytest.mark.parametrize('kernel', FILTERS)
def test_weights_by_hand(kernel):
  """Four pixels to two: the filter is twice as wide as at its own scale."""
  found = resize.weights(
    jnp.zeros(1), jnp.full(1, 4.0), jnp.zeros(1, bool),
    pixels=5, size=2, kernel=kernel,
  )[0]  # fmt: skip
  # Centres 1 and 3; pixel centres at distances of 0.25, 0.25, 0.75, 1.25 after
  # the division by the scale of 2.
  values = {
    'bilinear': [0.75, 0.75, 0.25, 0.0],
    'bicubic': [0.8671875, 0.8671875, 0.2265625, -0.0703125],
  }[kernel]
  first = np.array([*values, 0.0])
  first /= first.sum()
  np.testing.assert_allclose(found[0], first, atol=1e-6)
  np.testing.assert_allclose(found[1, :4], first[3::-1], atol=1e-6)
  assert found[1, 4] == 0


def test_a_mask_keeps_to_its_image():
  image = _images((1, 24, 24, 3), 1)
  mask = np.zeros((1, 24, 24), np.uint8)
  mask[:, 6:18, 8:20] = 1
  image = np.where(mask[..., None] == 1, 250, 5).astype(np.uint8)
  boxes = jnp.asarray([[[3, 4, 18, 17], [0, 0, 24, 24]]], jnp.int32)
  flips = jnp.asarray([[True, False]])
  cut = _crop(image, boxes, flips, 10, 'bilinear')
  found = np.asarray(resize.crop_mask(jnp.asarray(mask), boxes, flips, size=10))
  assert set(np.unique(found)) == {0, 1}
  np.testing.assert_array_equal(found == 1, cut[..., 0] >= 128)


def test_an_image_that_lies_on_its_side_is_cut_as_if_upright():
  image = _images((2, 12, 8, 3), 2)
  canvas = np.zeros((2, 12, 12, 3), np.uint8)
  canvas[0, :12, :8] = image[0]
  canvas[1, :8, :12] = image[1].swapaxes(0, 1)
  boxes = np.array([[[1, 2, 9, 5], [0, 0, 12, 8]]] * 2)
  flips = np.array([[True, False]] * 2)
  upright = _crop(image, boxes, flips, 6, 'bicubic')
  transposed = jnp.asarray([False, True])
  found = resize.crop(
    jnp.asarray(canvas), jnp.asarray(boxes), jnp.asarray(flips),
    size=6, kernel='bicubic', transposed=transposed,
  )  # fmt: skip
  difference = np.abs(np.asarray(found).astype(int) - upright)
  assert difference.max() <= 1 and (difference > 0).mean() < 0.01
  mask = (canvas[..., 0] > 127).astype(np.uint8)
  plain = (image[..., 0] > 127).astype(np.uint8)
  np.testing.assert_array_equal(
    resize.crop_mask(
      jnp.asarray(mask), jnp.asarray(boxes), jnp.asarray(flips),
      size=6, transposed=transposed,
    ),
    resize.crop_mask(
      jnp.asarray(plain), jnp.asarray(boxes), jnp.asarray(flips), size=6
    ),
  )  # fmt: skip
