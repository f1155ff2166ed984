"""BYOL's regression against numbers by hand and loops in NumPy."""

from hypothesis import given, settings, strategies as st
import jax
import jax.numpy as jnp
import numpy as np

from semppl_jax.losses.byol import regression
from semppl_jax.runtime import mesh as mesh_lib


def _random(*shape, seed=0):
  x = np.random.default_rng(seed).normal(size=shape)
  return jnp.asarray(x, jnp.float32)


def _cos(a, b):
  return np.dot(a, b) / np.sqrt(np.dot(a, a) * np.dot(b, b))


def _slow_regression(prediction, target):
  total = 0.0
  pairs = zip(np.float64(prediction), np.float64(target), strict=True)
  for views, targets in pairs:
    for i, view in enumerate(views):
      total += sum(
        2 - 2 * _cos(view, other) for j, other in enumerate(targets) if i != j
      )
  return total / len(prediction)


X, TARGET = _random(8, 4, 3), _random(8, 2, 3, seed=9)


def test_golden_value():
  # Pairs (0, 1), (1, 0), (2, 0), (2, 1) of cosines 1, -1, 0.6 and 0.8.
  x = jnp.array([[[0.0, 2.0], [-3.0, 0.0], [3.0, 4.0]]])
  got = regression(x, jnp.array([[[5.0, 0.0], [0.0, 6.0]]]))
  np.testing.assert_allclose(got, 0.0 + 4.0 + 0.8 + 0.4, rtol=1e-6)


@settings(max_examples=20, deadline=None)
@given(
  seed=st.integers(0, 10_000),
  large=st.integers(1, 2),
  small=st.sampled_from([0, 2]),
)
def test_against_loops_whatever_the_lengths(seed, large, small):
  x = _random(4, large + small, 3, seed=seed)
  target = _random(4, large, 3, seed=seed + 1)
  scale = jnp.exp(_random(4, large + small, 1, seed=seed + 2))
  np.testing.assert_allclose(
    regression(x * scale, target),
    _slow_regression(x, target),
    rtol=1e-4,
    atol=1e-5,
  )


def test_gradient_is_that_of_the_loops_and_none_of_the_target():
  direction, step = np.float64(_random(8, 4, 3, seed=1)), 1e-5
  up, down = (
    _slow_regression(np.float64(X) + s * step * direction, TARGET)
    for s in (1, -1)
  )
  grads = jax.grad(regression, (0, 1))(X, TARGET)
  got = np.sum(grads[0] * direction)
  np.testing.assert_allclose(got, (up - down) / (2 * step), rtol=1e-4)
  np.testing.assert_array_equal(grads[1], np.zeros_like(TARGET))


def test_zeros_stay_finite():
  value, grad = jax.value_and_grad(regression)(X.at[0].set(0.0), TARGET)
  assert np.isfinite(value) and np.all(np.isfinite(grad))


def test_bfloat16_is_computed_in_float32():
  half = X.astype(jnp.bfloat16)
  assert regression(half, TARGET).dtype == jnp.float32
  assert regression(half, TARGET) == regression(
    half.astype(jnp.float32), TARGET
  )


def test_equal_on_any_number_of_devices():
  want = jax.value_and_grad(regression)(X, TARGET)
  mesh = mesh_lib.make_mesh()
  placed = jax.device_put((X, TARGET), mesh_lib.sharded(mesh))
  got = jax.jit(jax.value_and_grad(regression))(*placed)
  np.testing.assert_allclose(got[0], want[0], rtol=1e-5)
  np.testing.assert_allclose(got[1], want[1], rtol=1e-4, atol=1e-6)
