"""Losses against hand-computed numbers, NumPy loops and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from semppl_jax.losses import contrastive


def _random(*shape, seed=0):
  return jnp.asarray(
    np.random.default_rng(seed).normal(size=shape), jnp.float32
  )


def test_normalize_has_unit_rows_and_keeps_zero():
  x = contrastive.normalize(jnp.array([[3.0, 4.0], [0.0, 0.0]]))
  np.testing.assert_allclose(x, [[0.6, 0.8], [0.0, 0.0]], rtol=1e-6)


def test_normalize_of_bfloat16_is_float32():
  assert (
    contrastive.normalize(jnp.ones((2, 3), jnp.bfloat16)).dtype == jnp.float32
  )


def test_log_probability_golden():
  # One positive of logit 1, negatives 0 and 2: 1 - log(e + 1 + e^2).
  got = contrastive.log_probability(
    jnp.full((1, 1, 1, 1), 1.0), jnp.array([0.0, 2.0]).reshape(1, 1, 1, 2)
  )
  want = np.array([1.0, 0.0, 2.0]) - np.log(np.e + 1.0 + np.e**2)
  np.testing.assert_allclose(got[0, 0, 0, 0], want, rtol=1e-6)


def test_log_ratio_golden_value_and_gradient():
  stopped = jnp.log(jnp.array([0.5, 0.25, 0.25]))
  trained = jnp.log(jnp.array([0.25, 0.5, 0.25]))
  np.testing.assert_allclose(
    contrastive.log_ratio(stopped, trained), np.log(2.0), rtol=1e-6
  )
  grads = jax.grad(contrastive.log_ratio, argnums=(0, 1))(stopped, trained)
  np.testing.assert_array_equal(grads[0], np.zeros(3))
  np.testing.assert_array_equal(grads[1], [-1.0, 0.0, 0.0])


def test_kl_golden_value_and_gradient():
  stopped = jnp.log(jnp.array([0.5, 0.25, 0.25]))
  trained = jnp.log(jnp.array([0.25, 0.5, 0.25]))
  # 0.5 log 2 + 0.25 log 0.5 + 0 = 0.25 log 2.
  np.testing.assert_allclose(
    contrastive.kl_divergence(stopped, trained), 0.25 * np.log(2.0), rtol=1e-6
  )
  grads = jax.grad(contrastive.kl_divergence, argnums=(0, 1))(stopped, trained)
  np.testing.assert_array_equal(grads[0], np.zeros(3))
  np.testing.assert_allclose(grads[1], [-0.5, -0.25, -0.25], rtol=1e-6)


@pytest.mark.parametrize('name', sorted(contrastive.INVARIANCE))
def test_invariance_gradient_by_finite_differences(name):
  """The gradient is that of the trained side with the other side frozen."""
  stopped = jax.nn.log_softmax(_random(4, 5, seed=1))
  logits = _random(4, 5, seed=2)
  direction = _random(4, 5, seed=3)

  def value(x):
    return jnp.sum(contrastive.INVARIANCE[name](stopped, jax.nn.log_softmax(x)))

  step = 1e-2
  slope = value(logits + step * direction) - value(logits - step * direction)
  got = jnp.sum(jax.grad(value)(logits) * direction)
  np.testing.assert_allclose(got, slope / (2 * step), rtol=2e-3)


def test_partner_of_large_and_small_views():
  rows, views, large = 2, 5, 3
  x = _random(rows, views, large, 2)
  got = contrastive.partner(x)
  for i in range(views):
    for j in range(large):
      want = x[:, j, i] if i < large else x[:, j, j]
      np.testing.assert_array_equal(got[:, i, j], want)


def test_pair_mean_against_loops():
  x = _random(4, 3, 2, 2)
  weight = np.array([1.0, 0.0, 1.0, 1.0], np.float32)
  pairs = np.array([[1, 0], [1, 1], [0, 1]], np.float32)
  kept = [
      float(x[b, v, t, p])
      for b in range(4) for v in range(3) for t in range(2) for p in range(2)
      if weight[b] and pairs[v, t]
  ]  # fmt: skip
  got = contrastive.pair_mean(x, jnp.asarray(weight), jnp.asarray(pairs))
  np.testing.assert_allclose(got, np.mean(kept), rtol=1e-5)


def test_pair_mean_of_no_rows_is_zero_with_zero_gradient():
  def mean(x):
    return contrastive.pair_mean(x, jnp.zeros(2), jnp.ones((2, 2)))

  value, grad = jax.value_and_grad(mean)(_random(2, 2, 2, 1))
  assert value == 0
  np.testing.assert_array_equal(grad, np.zeros((2, 2, 2, 1)))
