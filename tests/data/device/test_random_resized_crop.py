"""Boxes of crops: by hand, by a plain version, and in distribution."""

import hypothesis
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from semppl_jax.data.device import random_resized_crop

RANGES = random_resized_crop.CropRanges(
  area=[(0.14, 1.0), (0.05, 0.14)], aspect=[(3 / 4, 4 / 3)] * 2, flip=0.5
)
KEY = jax.random.key(3)


def _plain(numbers, height, width, area, aspect):
  """One box in Python, from the numbers of one view."""
  tries = random_resized_crop.TRIES
  for n in range(tries):
    a = (area[0] + (area[1] - area[0]) * numbers[n]) * height * width
    low, high = np.log(aspect)
    r = np.exp(low + (high - low) * numbers[tries + n])
    w, h = (max(np.round(np.sqrt(x)), 1) for x in (a * r, a / r))
    if w <= width and h <= height:
      top = min(np.floor(numbers[-3] * (height - h + 1)), height - h)
      left = min(np.floor(numbers[-2] * (width - w + 1)), width - w)
      return top, left, h, w
  allowed = np.clip(width / height, *aspect)
  w = max(min(width, np.round(height * allowed)), 1)
  h = max(min(height, np.round(width / allowed)), 1)
  return (height - h) // 2, (width - w) // 2, h, w


@hypothesis.given(
  st.integers(1, 400), st.integers(1, 400), st.integers(0, 2**20)
)
@hypothesis.settings(max_examples=30, deadline=None)
def test_as_a_plain_version(height, width, seed):
  numbers = np.random.default_rng(seed).uniform(size=(1, 2, 23))
  found = random_resized_crop.crop_boxes(
    jnp.asarray(numbers, jnp.float32), jnp.asarray([[height, width]]), RANGES
  )
  top, left, h, w = np.moveaxis(np.asarray(found)[0], -1, 0)
  assert (top >= 0).all() and (left >= 0).all() and (h > 0).all()
  assert (top + h <= height).all() and (left + w <= width).all()
  for view in range(2):
    plain = _plain(
      numbers[0, view].astype(np.float32),
      height, width, RANGES.area[view], RANGES.aspect[view],
    )  # fmt: skip
    # A square root that ends near one half may round to either side.
    np.testing.assert_allclose(found[0, view], plain, atol=1)


def test_what_fits_never_is_the_largest_centred_box():
  """Of a strip, no try with an aspect in range fits."""
  found = random_resized_crop.crop_boxes(
    jnp.full((1, 2, 23), 0.5), jnp.asarray([[3, 300]]), RANGES
  )
  np.testing.assert_array_equal(found[0], [[0, 148, 3, 4]] * 2)


def test_a_box_depends_on_seed_step_and_example_alone():
  extent = jnp.asarray([[40, 50]] * 4)
  example = jnp.asarray([7, 1, 7, 2**31], jnp.uint32)
  drawn = random_resized_crop.draw(KEY, example, extent, RANGES)
  np.testing.assert_array_equal(drawn.box[0], drawn.box[2])
  np.testing.assert_array_equal(drawn.flip[0], drawn.flip[2])
  assert (drawn.box[0] != drawn.box[1]).any()
  assert (drawn.box[1] != drawn.box[3]).any()
  again = random_resized_crop.draw(KEY, example[::-1], extent, RANGES)
  np.testing.assert_array_equal(again.box[::-1], drawn.box)
  other = random_resized_crop.draw(jax.random.key(4), example, extent, RANGES)
  assert (other.box != drawn.box).any()


def test_views_can_be_taken_apart():
  drawn = random_resized_crop.draw(
    KEY, jnp.arange(3, dtype=jnp.uint32), jnp.full((3, 2), 32), RANGES
  )
  rest = drawn.select(slice(1, None))
  assert rest.box.shape == (3, 1, 4) and rest.flip.shape == (3, 1)
  np.testing.assert_array_equal(rest.box, drawn.box[:, 1:])


@pytest.mark.parametrize('shape', [(60, 80), (32, 32), (90, 30)])
def test_the_distribution_is_that_of_the_host(shape):
  """Scale, aspect and position of 2,000 crops of each view."""
  from semppl_jax.data.tf import random_resized_crop as host_crops
  from semppl_jax.data.tf.crop_resize import Filter
  from semppl_jax.data.tf.runtime import tf

  count = 2000
  host_settings = host_crops.CropSettings(
    counts=(1, 1), sizes=(8, 8), area=tuple(RANGES.area),
    aspect=tuple(RANGES.aspect), resize_filter=Filter('bicubic'), flip=0.5,
  )  # fmt: skip
  numbers = tf.random.stateless_uniform([count, 2, 23], [1, 2])
  sizes = tf.broadcast_to(tf.constant(shape), (count, 2))
  theirs = host_crops.crop_boxes(numbers, sizes, host_settings).numpy()
  drawn = random_resized_crop.draw(
    KEY,
    jnp.arange(count, dtype=jnp.uint32),
    jnp.broadcast_to(jnp.asarray(shape), (count, 2)),
    RANGES,
  )
  ours = np.asarray(drawn.box)
  for view in range(2):
    for name, of in _FIGURES.items():
      a, b = (of(x[:, view].astype(float)) for x in (ours, theirs))
      distance = _kolmogorov(a, b)
      # The two-sided 0.1 % point for two samples of this size is 0.062.
      assert distance < 0.062, (view, name, distance)
  assert abs(np.asarray(drawn.flip).mean() - 0.5) < 0.03


_FIGURES = {
  'area': lambda x: x[:, 2] * x[:, 3],
  'aspect': lambda x: x[:, 3] / x[:, 2],
  'top': lambda x: x[:, 0],
  'left': lambda x: x[:, 1],
}


def _kolmogorov(a, b):
  """Largest distance of two empirical distributions, ties included."""
  at = np.union1d(a, b)
  below = [np.searchsorted(np.sort(x), at, side='right') for x in (a, b)]
  return np.abs(below[0] / len(a) - below[1] / len(b)).max()
