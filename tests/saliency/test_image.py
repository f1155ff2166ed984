"""Images of any size, bad arrays, and superpixels."""

from hypothesis import given, settings, strategies as st
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
    image_lib.make_scene(image)


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
  assert image_lib.make_scene(image).lab.shape == (*small, 3)


def test_grey_is_light_alone():
  image = np.full((300, 400, 3), 119, np.uint8)
  lab = image_lib.make_scene(image).lab
  np.testing.assert_allclose(lab[..., 0], 50, atol=0.1)
  np.testing.assert_allclose(lab[..., 1:], 0, atol=0.01)
  assert lab.dtype == np.float32


def test_shrinking_averages():
  stripes = np.tile(np.float32([0, 1]), (100, 200))[..., None]
  assert image_lib.shrink(stripes, 50).std() < 0.03


def test_regions_by_hand():
  labels = np.array([[7, 7, 3], [7, 9, 3]])
  lab = np.arange(18, dtype=np.float32).reshape(2, 3, 3)
  got = image_lib.describe(lab, labels)
  np.testing.assert_array_equal(got.labels, [[1, 1, 0], [1, 2, 0]])
  np.testing.assert_array_equal(got.area, [2, 3, 1])
  # Pixels 2 and 5; 0, 1 and 3; 4. Pixel p has the colors 3p, 3p + 1, 3p + 2.
  np.testing.assert_allclose(got.color[:, 0], [3 * 3.5, 4, 12])
  np.testing.assert_allclose(got.color[:, 2] - got.color[:, 0], 2)
  np.testing.assert_allclose(
    got.place, np.array([[1 / 2, 2], [1 / 3, 1 / 3], [1, 1]]) / 3, rtol=1e-6
  )
  np.testing.assert_array_equal(
    got.rim, np.array([[1, 1, 0], [1, 1, 1], [0, 1, 0], [1, 0, 0]], bool)
  )
  np.testing.assert_array_equal(got.edges, [[0, 1], [0, 2], [1, 2]])


def test_means_over_regions_by_hand():
  regions = image_lib.describe(np.zeros((1, 4, 3)), np.array([[0, 1, 1, 0]]))
  got = image_lib.region_means(regions, np.array([[1.0, 2.0, 6.0, 4.0]]))
  np.testing.assert_array_equal(got, [2.5, 4])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 12))
def test_edges_are_those_of_a_plain_loop(seed, height, width):
  rng = np.random.default_rng(seed)
  labels = rng.integers(0, 5, (height, width))
  got = image_lib.describe(np.zeros((height, width, 3)), labels)
  slow = set()
  for y in range(height):
    for x in range(width):
      for v, u in ((y + 1, x), (y, x + 1)):
        if v < height and u < width:
          pair = got.labels[y, x], got.labels[v, u]
          slow.add((min(pair), max(pair)))
  slow = sorted((a, b) for a, b in slow if a != b)
  assert [tuple(pair) for pair in got.edges] == slow


@pytest.mark.parametrize('shape', [(1, 1), (1, 9), (50, 1), (3, 200), (40, 60)])
def test_every_image_has_regions(shape):
  rng = np.random.default_rng(0)
  lab = rng.uniform(0, 100, (*shape, 3)).astype(np.float32)
  got = image_lib.segment(lab)
  assert got.labels.shape == shape
  assert got.area.sum() == shape[0] * shape[1]
  assert (got.area > 0).all()
  assert len(got.area) <= max(1, shape[0] * shape[1] / 4)


def test_regions_follow_an_edge():
  lab = np.zeros((60, 60, 3), np.float32)
  lab[:, 33:] = 60
  labels = image_lib.segment(lab).labels
  assert not set(labels[:, :33].ravel()) & set(labels[:, 33:].ravel())
