"""Soft labels against NumPy loops, and what sharpening does to collapse."""

import functools

from hypothesis import given, settings, strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from semppl_jax.losses import assignment
from semppl_jax.runtime import mesh as mesh_lib


def _on_arrays(function):
  """The same function of JAX arrays, which may be given NumPy's."""
  to_jax = lambda x: jnp.asarray(x) if isinstance(x, np.ndarray) else x
  return lambda *arguments: function(*map(to_jax, arguments))


cross_entropy = _on_arrays(assignment.cross_entropy)
me_max = _on_arrays(assignment.me_max)
sharpen = _on_arrays(assignment.sharpen)
sinkhorn = _on_arrays(assignment.sinkhorn)
soft_nn = _on_arrays(assignment.soft_nn)
_close = functools.partial(np.testing.assert_allclose, rtol=1e-5)
_few = settings(max_examples=20, deadline=None)


def _random(*shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _probabilities(*shape, seed=0):
  return np.asarray(jax.nn.softmax(_random(*shape, seed=seed)))


def _weighted(x):
  return (x * _random(*x.shape, seed=4)).sum()


def _slow_soft_nn(x, label, tau):
  norm, rows = np.sqrt(np.sum(x * x, axis=1)), range(8)
  cos = [[x[i] @ x[8 + j] / norm[i] / norm[8 + j] for j in rows] for i in rows]
  weight = np.exp(np.array(cos) / tau)
  return weight @ label / weight.sum(axis=1, keepdims=True)


def _slow_sinkhorn(scores, epsilon, iterations):
  """As SwAV's code: [K, M], and with the factors that cancel."""
  q = np.exp(scores.astype(np.float64) / epsilon).T
  for _ in range(iterations):
    q /= q.sum(axis=1, keepdims=True) * q.shape[0]
    q /= q.sum(axis=0, keepdims=True) * q.shape[1]
  return (q * q.shape[1]).T


def test_golden_values():
  # Weights 3 for the support ahead, and 1 for each of the two at right angles.
  query, support = np.array([[2.0, 0]]), np.array([[1.0, 0], [0, 5], [0, -1]])
  y = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
  _close(soft_nn(query, support, y, 1 / np.log(3)), [[0.4, 0.6]])
  p = jnp.array([[0.2, 0.8], [1e-30, 4e-30]])
  _close(sharpen(p, 0.5), [[1 / 17, 16 / 17]] * 2, rtol=1e-4)
  # The first target is below the floor, the second is on it.
  target, p = jnp.array([0.125, 0.25, 0.625]), jnp.array([0.0, 0.5, 0.25])
  _close(cross_entropy(target, p, 0.25), 1.5 * np.log(2))
  slopes = jax.grad(cross_entropy, (0, 1))(target, p, 0.25)
  _close(slopes, [[0.0, 0.0, 0.0], [0.0, -0.5, -2.5]])
  _close(me_max(jnp.array([[1.0, 0, 0], [0, 1, 0]])), -np.log(2))
  _close(me_max(jnp.eye(4)), -np.log(4))
  # exp(scores) [[2, 1], [1, 1]]: by columns [[2/3, 1/2], [1/3, 1/2]], by rows:
  scores = 0.1 * jnp.log(jnp.array([[2.0, 1.0], [1.0, 1.0]]))
  _close(sinkhorn(scores, 0.1, 1), [[4 / 7, 3 / 7], [0.4, 0.6]])


QUERY, SUPPORT = _random(8, 4), _random(8, 4, seed=1)
LABEL, TARGET, P = _probabilities(3, 8, 3)
# Function of one array, the same in NumPy, and the array.
CASES = {
  'soft_nn': (
    lambda x: soft_nn(x[:8], x[8:], LABEL, 0.3),
    lambda x: _slow_soft_nn(x, LABEL, 0.3),
    np.concatenate([QUERY, SUPPORT]),
  ),
  'sharpen': (
    lambda x: sharpen(x, 0.25),
    lambda x: np.array([row**4 / sum(row**4) for row in x]),
    P,
  ),
  'cross_entropy': (
    lambda x: cross_entropy(TARGET, x, 0.2),
    lambda x: -np.sum(np.log(x) * np.where(TARGET < 0.2, 0, TARGET), axis=1),
    P,
  ),
  'me_max': (me_max, lambda x: sum(m * np.log(m) for m in x.mean(axis=0)), P),
}


@pytest.mark.parametrize('name', sorted(CASES))
@_few
@given(st.integers(0, 10_000))
def test_values_and_slopes_are_those_of_loops(name, seed):
  fast, slow, point = CASES[name]
  x = point * np.exp(_random(*point.shape, seed=seed) / 2)
  _close(fast(x), slow(x), rtol=1e-4, atol=1e-6)
  direction = _random(*x.shape, seed=seed + 1).astype(np.float64)
  ends = [_weighted(slow(x + step * direction)) for step in (1e-5, -1e-5)]
  got = np.sum(jax.grad(lambda x: _weighted(fast(x)))(x) * direction)
  _close(got, (ends[0] - ends[1]) / 2e-5, rtol=1e-3, atol=1e-4)


@_few
@given(st.integers(0, 10_000), st.sampled_from([0.05, 0.3]), st.integers(1, 4))
def test_sinkhorn_is_swavs_and_comes_to_equal_columns(seed, epsilon, times):
  scores = np.tanh(_random(6, 4, seed=seed))
  got = sinkhorn(scores, epsilon, times)
  _close(got, _slow_sinkhorn(scores, epsilon, times), rtol=1e-4, atol=1e-6)
  _close(got.sum(axis=1), np.ones(6))
  more = sinkhorn(scores + 2, epsilon, times)
  _close(more, got, rtol=1e-4, atol=1e-6)
  _close(sinkhorn(scores, 1.0, 30).sum(axis=0), np.full(4, 1.5))
  slope = jax.jacobian(sinkhorn)(scores, epsilon, times)
  assert not np.any(slope)


@_few
@given(st.integers(0, 10_000))
def test_lengths_and_the_order_of_rows_change_nothing(seed):
  one, other = np.random.default_rng(seed).permuted([range(8)] * 2, axis=1)
  long, wide = np.exp(_random(2, 8, 1, seed=seed))
  p = np.asarray(soft_nn(QUERY, SUPPORT, LABEL, 0.1))
  query, support = (QUERY * long)[one], (SUPPORT * wide)[other]
  _close(soft_nn(query, support, LABEL[other], 0.1), p[one], rtol=1e-4)
  _close(me_max(p[one]), me_max(p))
  got = sinkhorn(p[one], 0.1, 3)
  _close(got, sinkhorn(p, 0.1, 3)[one], rtol=1e-4)


@_few
@given(st.integers(0, 10_000), st.sampled_from([0.01, 0.25, 0.7, 3.0]))
def test_sharpen_keeps_order_and_goes_from_identity_to_argmax(seed, T):
  p = _probabilities(5, 4, seed=seed)
  got = np.take_along_axis(np.asarray(sharpen(p, T)), np.argsort(p), axis=1)
  assert np.all(np.diff(got) >= 0)
  _close(sharpen(p, 1.0), p)
  _close(sharpen(P, 1e-6), np.eye(3)[P.argmax(axis=1)], atol=1e-6)


def test_zeros_and_extreme_temperatures_stay_finite():
  zeros = np.array([[0.0, 0.25, 0.75], [0.0, 1.0, 0.0]], np.float32)
  for T in (1e-6, 0.25, 1.0, 4.0):
    np.testing.assert_array_equal(sharpen(zeros, T)[zeros == 0], np.zeros(3))
    assert np.all(np.isfinite(jax.jacobian(sharpen)(zeros, T)))
  value, slope = jax.value_and_grad(cross_entropy, 1)(*zeros[[0, 0]], 0.0)
  assert np.isfinite(value) and np.all(np.isfinite(slope))
  assert cross_entropy(*zeros, 0.0) == np.inf
  slope = 1.0 + np.log([0.625, 0.375])
  _close(jax.grad(me_max)(zeros), np.array([[0, *slope]] * 2) / 2)
  _close(soft_nn(QUERY, SUPPORT, np.eye(8), 1e-6).max(axis=1), np.ones(8))
  _close(sinkhorn(QUERY, 1e-30, 3).sum(axis=1), np.ones(8))


def _loss(query, support, label):
  p = soft_nn(query, support, label, 0.1)
  each = cross_entropy(label, p, 0.3) + cross_entropy(label, label, 0.0)
  each += jnp.sum(sinkhorn(query, 0.3, 3)[:, :3] * p, axis=1)
  return jnp.mean(each) + me_max(sharpen(label, 0.25)) + me_max(label)


def test_equal_on_any_number_of_devices_and_float32_of_bfloat16():
  fast = jax.value_and_grad(_loss, (0, 1))
  want = fast(QUERY, SUPPORT, LABEL)
  for devices in (1, 2, 8):
    mesh = mesh_lib.make_mesh(jax.devices()[:devices])
    split = jax.device_put((QUERY, SUPPORT, LABEL), mesh_lib.sharded(mesh))
    got = jax.jit(fast)(*split)
    jax.tree.map(functools.partial(_close, rtol=1e-4, atol=1e-6), got, want)
  half = [jnp.asarray(x, jnp.bfloat16) for x in (QUERY, SUPPORT, LABEL)]
  assert _loss(*half) == _loss(*(x.astype(jnp.float32) for x in half))


def _slopes(query, support, label, target):
  """Gradient of H(target, p) on the query [1, D] and the supports [S, D]."""
  h = lambda q, s: cross_entropy(target, soft_nn(q, s, label, 0.1), 0.0)[0]
  return np.concatenate(jax.grad(h, (0, 1))(query, support))


@pytest.mark.slow
@_few
@given(st.floats(0.1, 3.0), st.floats(0.4, 1.0), st.sampled_from([0.0, 0.1]))
def test_collapse_is_not_stationary_where_the_target_is_not_uniform(a, t, e):
  """Proposition 1 of PAWS (section 4), with the premises it needs.

  Assumption 1: each of the K classes has S / K supports. Assumption 2: the
  target t is not uniform. If all supports are one vector z, p is uniform, and
  p != t gives support j of class c a slope (1 - e) (1 - K t_c) / S on its
  cosine, e the smoothing. The proof ends at p != t; for a slope on embeddings
  the query must not point along z, where every cosine is at its maximum.
  """
  z, query = np.array([[2.0, 0.0]]), 3 * np.array([[np.cos(a), np.sin(a)]])
  c, support = np.array([0, 1, 2, 0, 1, 2]), np.repeat(z, 6, axis=0)
  y = np.asarray(optax.smooth_labels(jax.nn.one_hot(c, 3), e))
  p = soft_nn(query, support, y, 0.1)
  _close(p, np.full((1, 3), 1 / 3))
  target = sharpen(np.array([[t, 0.75 - 0.75 * t, 0.25 - 0.25 * t]]), 0.25)
  got, pull = _slopes(query, support, y, target), np.sin(a) / 2 / 0.1
  want = (1 - e) * (1 - 3 * target[0, c]) / 6 * pull
  _close(got[1:], np.stack([np.zeros(6), want], axis=1), rtol=1e-3, atol=1e-4)
  assert np.linalg.norm(got[1:]) > 1e-2
  _close(got[0], 0.0, atol=1e-4)  # The supports' pulls on the query cancel.
  _close(_slopes(2 * z, support, y, target), 0.0, atol=1e-4)  # Along z.
  # Without assumption 2, and sharpening alone does not give it: supports that
  # have collapsed make the uniform target themselves, at any T.
  for T in (0.25, 1.0):
    _close(_slopes(query, support, y, sharpen(p, T)), 0.0, atol=1e-4)
  # Without assumption 1: the target is the supports' share of each class.
  target = y[:5].mean(axis=0, keepdims=True)
  _close(_slopes(query, support[:5], y[:5], target), 0.0, atol=1e-4)


def test_near_collapse_only_a_sharpened_target_drives_away():
  query, support = QUERY[:1], SUPPORT[:1] + 0.01 * _random(6, 4, seed=2)
  y = np.repeat(np.eye(3, dtype=np.float32), 2, axis=0)
  p = soft_nn(query, support, y, 0.1)
  _close(_slopes(query, support, y, sharpen(p, 1.0)), 0.0, atol=1e-5)
  slopes = _slopes(query, support, y, sharpen(p, 0.25))
  assert np.abs(slopes[0]).max() > 1e-3 and np.abs(slopes[1:]).max() > 1e-2
  moved = query - 0.01 * slopes[:1], support - 0.01 * slopes[1:]
  assert soft_nn(*moved, y, 0.1).max() > p.max()
