"""Each color operation against Pillow or a plain second version."""

import colorsys

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageEnhance, ImageOps
import pytest

from semppl_jax.data.device import color_ops

LEVEL = 1 / 255


def _images(shape=(3, 8, 10, 3), seed=0):
  return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def _extremes():
  """Black, white, grey, constant, and the corners of the color cube."""
  constant = np.array(
    [[0, 0, 0], [255, 255, 255], [128, 128, 128], [10, 200, 30]]
  )
  even = np.broadcast_to(constant[:, None, None], (4, 8, 10, 3))
  corners = np.random.default_rng(1).integers(0, 2, (1, 8, 10, 3)) * 255
  return np.concatenate([even, corners]).astype(np.uint8)


BOTH = pytest.mark.parametrize(
  'images', [_images(), _extremes()], ids=['random', 'extremes']
)


def _stack(planes):
  return np.stack([np.asarray(plane) for plane in planes], axis=-1)


def _apply(operation, images, *strength):
  per_image = [jnp.full(images.shape[0], x, jnp.float32) for x in strength]
  return _stack(operation(color_ops.to_planes(jnp.asarray(images)), *per_image))


def _pillow(images, function):
  return np.stack([np.asarray(function(Image.fromarray(x))) for x in images])


def test_planes_and_back():
  images = _images()
  planes = color_ops.to_planes(jnp.asarray(images))
  got = color_ops.normalize(planes, (0.0, 0.0, 0.0), (LEVEL,) * 3)
  np.testing.assert_allclose(got, images, atol=1e-4)


def test_normalize_takes_each_channel_by_its_own_numbers():
  planes = color_ops.to_planes(jnp.full((1, 1, 1, 3), 255, jnp.uint8))
  got = color_ops.normalize(planes, (0.5, 0.25, 0.0), (0.5, 0.25, 2.0))
  np.testing.assert_allclose(got[0, 0, 0], [1.0, 3.0, 0.5])


@BOTH
@pytest.mark.parametrize('factor', [0.0, 0.6, 1.0, 1.4])
@pytest.mark.parametrize(
  'operation, enhance',
  [
    (color_ops.brightness, ImageEnhance.Brightness),
    (color_ops.saturation, ImageEnhance.Color),
    (color_ops.contrast, ImageEnhance.Contrast),
  ],
)
def test_blends_follow_pillow(images, operation, enhance, factor):
  got = _apply(operation, images, factor)
  expected = _pillow(images, lambda x: enhance(x).enhance(factor)) / 255
  # Pillow rounds luma, mean and result to 8 bits.
  np.testing.assert_allclose(got, expected, atol=2.1 * LEVEL)


@BOTH
def test_grayscale_follows_pillow(images):
  got = _apply(color_ops.grayscale, images)
  expected = _pillow(images, lambda x: x.convert('L').convert('RGB')) / 255
  np.testing.assert_allclose(got, expected, atol=0.6 * LEVEL)


@BOTH
@pytest.mark.parametrize('shift', [-0.5, -0.1, 0.03, 0.1, 0.5])
def test_hue_follows_colorsys(images, shift):
  got = _apply(color_ops.hue, images, shift)

  def turned(pixel):
    h, s, v = colorsys.rgb_to_hsv(*pixel)
    return colorsys.hsv_to_rgb((h + shift) % 1.0, s, v)

  expected = np.apply_along_axis(turned, -1, images / 255)
  np.testing.assert_allclose(got, expected, atol=2e-6)


@BOTH
def test_solarize_follows_pillow(images):
  expected = _pillow(images, ImageOps.solarize) / 255
  np.testing.assert_allclose(
    _apply(color_ops.solarize, images), expected, atol=1e-6
  )


@pytest.mark.parametrize(
  'images',
  [
    _images(),
    _extremes(),
    _images((2, 40, 40, 3)) // 3 + 60,
    # Skewed to one bright level: Pillow's table would pass 255 uncut.
    np.where(_images((2, 20, 20, 3)) < 180, 250, _images((2, 20, 20, 3))),
  ],
  ids=['random', 'extremes', 'narrow', 'skewed'],
)
def test_equalize_is_pillows(images):
  images = images.astype(np.uint8)
  expected = _pillow(images, ImageOps.equalize)
  got = np.round(_apply(color_ops.equalize, images) * 255)
  np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
  'operation, identity',
  [
    (color_ops.brightness, 1.0),
    (color_ops.saturation, 1.0),
    (color_ops.contrast, 1.0),
    (color_ops.hue, 0.0),
  ],
)
def test_the_neutral_strength_is_exact(operation, identity):
  images = _images((4, 16, 16, 3))
  before = _stack(color_ops.to_planes(jnp.asarray(images)))
  np.testing.assert_array_equal(_apply(operation, images, identity), before)


def test_every_image_has_its_own_strength():
  images = np.repeat(_images((1, 4, 4, 3)), 2, axis=0)
  planes = color_ops.to_planes(jnp.asarray(images))
  got = _stack(color_ops.brightness(planes, jnp.asarray([0.0, 1.0])))
  np.testing.assert_array_equal(got[0], np.zeros_like(got[0]))
  np.testing.assert_array_equal(got[1], _stack(planes)[1])


def test_contrast_takes_the_mean_of_each_image_alone():
  images = np.stack([np.zeros((4, 4, 3)), np.full((4, 4, 3), 255)])
  got = _apply(color_ops.contrast, images.astype(np.uint8), 0.0)
  np.testing.assert_allclose(got[0], 0.0)
  np.testing.assert_allclose(got[1], 1.0, atol=1e-6)


def test_every_color_has_a_finite_hue():
  grid = np.stack(np.meshgrid(*[np.arange(0, 256, 5)] * 3), axis=-1)
  images = grid.reshape(1, 52, 52 * 52, 3).astype(np.uint8)
  got = jax.jit(color_ops.hue)(
    color_ops.to_planes(jnp.asarray(images)), jnp.asarray([0.07])
  )
  got = _stack(got)
  assert np.isfinite(got).all()
  assert got.min() >= -1e-6 and got.max() <= 1 + 1e-6
