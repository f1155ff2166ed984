"""The parts of the minimum barrier detector, against plain versions."""

import numpy as np

from semppl_jax.saliency import minimum_barrier
from semppl_jax.saliency.barrier_distance import distances
from semppl_jax.saliency.postprocess import normalise
from tests.helpers.scenes import random_scene


def test_backgroundness_is_that_of_the_paper_in_loops():
  rng = np.random.default_rng(0)
  lab = rng.uniform(0, 60, (20, 30, 3)).astype(np.float32)
  got = minimum_barrier.backgroundness(lab)
  unlike = []
  for strip in (lab[:2], lab[-2:], lab[:, :3], lab[:, -3:]):
    colours = strip.reshape(-1, 3).astype(float)
    inverse = np.linalg.inv(np.cov(colours.T, bias=True) + np.eye(3))
    one = np.empty(lab.shape[:2])
    for y in range(20):
      for x in range(30):
        apart = lab[y, x] - colours.mean(axis=0)
        one[y, x] = np.sqrt(apart @ inverse @ apart)
    unlike.append(one / one.max())
  want = sum(unlike) - np.max(unlike, axis=0)
  np.testing.assert_allclose(got, want, rtol=1e-5)


def test_both_cues_count_the_same_and_less_far_from_the_centre():
  scene = random_scene(0)
  far = normalise(distances(scene.lab).mean(axis=-1))
  unlike = normalise(minimum_barrier.backgroundness(scene.lab))
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
  cone = minimum_barrier.centredness((3, 5))
  assert cone[1, 2] == 1 == cone.max()
  np.testing.assert_allclose(cone, cone[::-1, ::-1])
  assert 0 <= cone[0, 0] == cone.min()
  np.testing.assert_array_equal(minimum_barrier.centredness((1, 1)), [[1]])
