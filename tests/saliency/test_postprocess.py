"""Range, thresholds and outlines of maps."""

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from semppl_jax.saliency import postprocess


def test_values_are_moved_into_the_unit_range():
  got = postprocess.normalize(np.array([-3.0, 1.0, 5.0]))
  np.testing.assert_array_equal(got, [0, 0.5, 1])
  np.testing.assert_array_equal(
    postprocess.normalize(np.full(3, 7.0)), [0, 0, 0]
  )


def _plain_otsu(values, weight):
  """Middle of the gap at which the variance between classes is greatest."""
  bins = np.minimum((values * 64).astype(int), 63)
  middle = (bins + 0.5) / 64
  best = None
  for cut in np.unique(bins)[:-1]:
    low, high = bins <= cut, bins > cut
    a, b = weight[low].sum(), weight[high].sum()
    apart = np.average(middle[low], weights=weight[low]) - np.average(
      middle[high], weights=weight[high]
    )
    if best is None or a * b * apart**2 > best[0] * (1 + 1e-9):
      best = a * b * apart**2, (middle[low].max() + middle[high].min()) / 2
  return best[1]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 40))
def test_otsu_is_that_of_a_plain_loop(seed, count):
  rng = np.random.default_rng(seed)
  values = postprocess.normalize(rng.beta(0.5, 0.5, count))
  weight = rng.integers(1, 100, count).astype(float)
  got = postprocess.otsu(values, weight)
  assert got == pytest.approx(_plain_otsu(values, weight))


def test_equal_values_have_a_threshold():
  assert 0 <= postprocess.otsu(np.zeros(3), np.ones(3)) < 0.02


def test_contrast_keeps_the_order_and_draws_apart():
  values = np.array([0.0, 0.1, 0.2, 0.7, 0.8, 1.0])
  got = postprocess.contrast(values, np.ones(6))
  assert (np.diff(got) > 0).all()
  assert got[0] == 0 and got[-1] == 1
  # Two groups: they are further apart than before, and alike inside.
  assert got[3] - got[2] > 1.3 * 0.5
  assert got[2] < 0.1 and got[3] > 0.9
  np.testing.assert_array_equal(postprocess.contrast(np.ones(3), np.ones(3)), 0)


def test_the_guided_filter_is_that_of_a_plain_loop():
  rng = np.random.default_rng(0)
  guide, values = rng.uniform(size=(2, 7, 9))
  pad = lambda x: np.pad(x, 2, mode='edge')

  def slope_and_offset(y, x):
    g = pad(guide)[y : y + 5, x : x + 5]
    v = pad(values)[y : y + 5, x : x + 5]
    a = (np.mean(g * v) - g.mean() * v.mean()) / (g.var() + 1e-3)
    return a, v.mean() - a * g.mean()

  parts = np.array(
    [[slope_and_offset(y, x) for x in range(9)] for y in range(7)]
  )
  a, b = (pad(part) for part in np.moveaxis(parts, -1, 0))
  want = [
    [
      a[y : y + 5, x : x + 5].mean() * guide[y, x]
      + b[y : y + 5, x : x + 5].mean()
      for x in range(9)
    ]
    for y in range(7)
  ]
  got = postprocess.guided_filter(guide, values)
  np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)
