"""Minimum barrier detector: parts against plain versions.

FastMBD against the raster scan pixel by pixel, and the exact distance.
"""

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from semppl_jax.saliency import minimum_barrier
from semppl_jax.saliency.minimum_barrier import barrier_distances
from semppl_jax.saliency.postprocess import normalize
from tests.helpers.scenes import random_scene


def test_backgroundness_is_that_of_the_paper_in_loops():
  rng = np.random.default_rng(0)
  lab = rng.uniform(0, 60, (20, 30, 3)).astype(np.float32)
  got = minimum_barrier.backgroundness(lab)
  unlike = []
  for strip in (lab[:2], lab[-2:], lab[:, :3], lab[:, -3:]):
    colors = strip.reshape(-1, 3).astype(float)
    inverse = np.linalg.inv(np.cov(colors.T, bias=True) + np.eye(3))
    one = np.empty(lab.shape[:2])
    for y in range(20):
      for x in range(30):
        apart = lab[y, x] - colors.mean(axis=0)
        one[y, x] = np.sqrt(apart @ inverse @ apart)
    unlike.append(one / one.max())
  want = sum(unlike) - np.max(unlike, axis=0)
  np.testing.assert_allclose(got, want, rtol=1e-5)


def test_both_cues_count_the_same_and_less_far_from_the_centre():
  scene = random_scene(0)
  far = normalize(barrier_distances(scene.lab).mean(axis=-1))
  unlike = normalize(minimum_barrier.backgroundness(scene.lab))
  y, x = np.mgrid[:24, :30]
  cone = 1 - np.hypot(y - 11.5, x - 14.5) / np.hypot(12, 15)
  got = minimum_barrier.barrier(scene)
  for region in range(20):
    inside = scene.superpixels.labels == region
    want = ((far + unlike) * cone)[inside].mean()
    np.testing.assert_allclose(got[region], want, rtol=1e-5)


def test_an_object_may_cover_a_side():
  # Red from the left side to the middle, on green.
  lab = np.full((40, 40, 3), (50, -40, 20), np.float32)
  lab[10:30, :20] = (50, 60, 20)
  got = minimum_barrier.backgroundness(lab)
  assert got[20, 10] > 5 * got[20, 30]


def test_plain_strips_have_finite_backgroundness():
  got = minimum_barrier.backgroundness(np.zeros((1, 1, 3), np.float32))
  np.testing.assert_array_equal(got, [[0]])


def test_the_cone_is_highest_at_the_centre():
  cone = minimum_barrier.centeredness((3, 5))
  assert cone[1, 2] == 1 == cone.max()
  np.testing.assert_allclose(cone, cone[::-1, ::-1])
  assert 0 <= cone[0, 0] == cone.min()
  np.testing.assert_array_equal(minimum_barrier.centeredness((1, 1)), [[1]])


def _in_order(image, scans):
  """Algorithm 1 of the paper for one channel, pixel by pixel."""
  height, width = image.shape
  high, low = image.copy(), image.copy()
  best = np.full(image.shape, np.inf, np.float32)
  best[[0, -1]] = 0
  best[:, [0, -1]] = 0
  cells = [(y, x) for y in range(height) for x in range(width)]
  for scan in range(scans):
    back = 1 if scan % 2 else -1
    for y, x in reversed(cells) if scan % 2 else cells:
      for v, u in ((y, x + back), (y + back, x)):
        if not (0 <= v < height and 0 <= u < width) or best[v, u] == np.inf:
          continue
        top, bottom = max(high[v, u], image[y, x]), min(low[v, u], image[y, x])
        if top - bottom < best[y, x]:
          high[y, x], low[y, x], best[y, x] = top, bottom, top - bottom
  return best


def _exact(image):
  """Smallest barriers, by flooding between all pairs of bounds."""
  best = np.full(image.shape, np.inf)
  for low in np.unique(image):
    for high in np.unique(image):
      inside = (image >= low) & (image <= high)
      edge = np.zeros_like(inside)
      edge[[0, -1]] = True
      edge[:, [0, -1]] = True
      reached = inside & edge
      while True:
        grown = np.pad(reached, 1)
        grown = (
          grown[1:-1, 1:-1]
          | grown[:-2, 1:-1]
          | grown[2:, 1:-1]
          | grown[1:-1, :-2]
          | grown[1:-1, 2:]
        ) & inside
        if (grown == reached).all():
          break
        reached = grown
      best[reached] = np.minimum(best[reached], high - low)
  return best


def test_distances_by_hand():
  image = np.array(
    [
      [5, 5, 5, 5, 5],
      [5, 1, 1, 1, 5],
      [5, 1, 9, 1, 4],
      [5, 1, 1, 1, 5],
      [5, 5, 5, 5, 5],
    ],
    np.float32,
  )
  # Into the ditch at the gap of height 4; the peak then spans 1 to 9, or from
  # the gap straight across the ditch, as well.
  want = np.zeros((5, 5))
  want[1:-1, 1:-1] = 3
  want[2, 2] = 8
  got = barrier_distances(image[..., None], scans=5)[..., 0]
  np.testing.assert_array_equal(got, want)


@settings(max_examples=40, deadline=None)
@given(
  st.integers(0, 10**6),
  st.integers(1, 9),
  st.integers(1, 9),
  st.integers(1, 4),
  st.integers(1, 3),
)
def test_diagonals_give_what_the_scan_in_order_gives(seed, h, w, scans, c):
  rng = np.random.default_rng(seed)
  image = rng.integers(0, 12, (h, w, c)).astype(np.float32)
  got = barrier_distances(image, scans)
  assert got.shape == (h, w, c)
  for channel in range(c):
    np.testing.assert_array_equal(
      got[..., channel], _in_order(image[..., channel], scans)
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 8), st.integers(1, 8))
def test_no_path_is_better_than_the_best(seed, height, width):
  rng = np.random.default_rng(seed)
  image = rng.integers(0, 8, (height, width)).astype(np.float32)
  exact = _exact(image)
  before = np.full(image.shape, np.inf)
  for scans in (1, 2, 3, 8):
    got = barrier_distances(image[..., None], scans)[..., 0]
    assert (got >= exact).all() and (got <= before).all()
    before = got


def test_scans_come_near_the_best():
  rng = np.random.default_rng(0)
  ratios = []
  for _ in range(20):
    image = rng.integers(0, 8, (8, 8)).astype(np.float32)
    ratios.append(
      barrier_distances(image[..., None]).mean() / _exact(image).mean()
    )
  assert np.mean(ratios) < 1.1


@pytest.mark.parametrize('shape', [(1, 1), (1, 5), (2, 6), (7, 2)])
def test_an_image_of_rim_alone_has_no_barrier(shape):
  image = np.random.default_rng(0).uniform(size=(*shape, 3))
  assert not barrier_distances(image.astype(np.float32)).any()
