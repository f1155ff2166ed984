"""Shape of the mask network, and its input of color differences."""

import jax
import numpy as np
import pytest
from scipy.spatial import distance

from semppl_jax.saliency import network
from tests.helpers.mask_networks import init, SMALL


def test_a_map_for_each_head():
  logits = jax.jit(network.make_network(SMALL).apply)(
    init(), np.zeros((3, 32, 32, 3), np.uint8)
  )
  assert logits.shape == (3, 16, 16, 2) and logits.dtype == np.float32


@pytest.mark.parametrize('side', [16, 32])
def test_strangeness_is_the_distance_from_the_colors_of_a_side(side):
  colors = np.random.default_rng(0).normal(size=(2, side, side, 3))
  got = network.strangeness(jax.numpy.asarray(colors, np.float32))
  rim = max(side // 12, 1)
  for image, found in zip(colors, got, strict=True):
    sides = image[:rim], image[-rim:], image[:, :rim], image[:, -rim:]
    for number, along in enumerate(sides):
      pixels = along.reshape(-1, 3)
      spread = np.cov(pixels.T, bias=True) + 0.025**2 * np.eye(3)
      want = [
        distance.mahalanobis(x, pixels.mean(0), np.linalg.inv(spread)) ** 2
        for x in image.reshape(-1, 3)
      ]
      np.testing.assert_allclose(
        np.expm1(found[..., number]).ravel(), want, rtol=1e-3
      )


def test_no_color_is_strange_in_a_plain_image():
  plain = np.full((1, 32, 32, 3), 0.3, np.float32)
  np.testing.assert_allclose(network.strangeness(plain), 0, atol=1e-6)


def test_the_map_of_an_image_is_of_that_image_alone():
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
  apply = jax.jit(network.make_network(SMALL).apply)
  whole = apply(init(), images)
  for one, want in zip(images, whole, strict=True):
    np.testing.assert_allclose(apply(init(), one[None])[0], want, atol=1e-5)
