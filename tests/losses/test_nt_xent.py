"""NT-Xent and SuNCEt against numbers by hand and double loops in NumPy."""

from hypothesis import given, settings, strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from semppl_jax.losses import nt_xent
from semppl_jax.runtime import mesh as mesh_lib


def _random(*shape, seed=0):
  x = np.random.default_rng(seed).normal(size=shape)
  return x.astype(np.float32)


def _cos(a, b):
  a, b = a.astype(np.float64), b.astype(np.float64)
  return np.dot(a, b) / np.sqrt(np.dot(a, a) * np.dot(b, b))


def _slow_suncet(embedding, label, tau):
  known, each = np.flatnonzero(label >= 0), []
  for i in known:
    z = embedding[i]
    term = {j: np.exp(_cos(z, embedding[j]) / tau) for j in known if j != i}
    same = sum(term[j] for j in term if label[j] == label[i])
    if same:
      each.append(-np.log(same / sum(term.values())))
  return np.mean(each) if each else 0.0


def _slow_nt_xent(projection, tau):
  # An image's other view is the one positive: each image is its own class.
  rows = projection.reshape(-1, projection.shape[-1])
  return _slow_suncet(rows, np.arange(len(rows)) // 2, tau)


def _nt_xent(projection, tau):
  return nt_xent.nt_xent(jnp.asarray(projection), tau)


def _suncet(embedding, label, tau):
  return nt_xent.suncet(jnp.asarray(embedding), jnp.asarray(label), tau)


def test_golden_values():
  # Two images, the views of each alike, at right angles to the other's.
  x = jnp.array([[[1.0, 0.0], [2.0, 0.0]], [[0.0, 3.0], [0.0, 4.0]]])
  want = np.log(np.e + 2.0) - 1.0
  np.testing.assert_allclose(_nt_xent(x, 1.0), want, rtol=1e-6)
  # The third row is a negative and no anchor, the last is left out.
  x = jnp.array([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
  got = _suncet(x, jnp.array([4, 4, 7, -1], jnp.int32), 1.0)
  np.testing.assert_allclose(got, np.log1p(1.0 / np.e), rtol=1e-6)


@settings(max_examples=20, deadline=None)
@given(
  seed=st.integers(0, 10_000),
  rows=st.sampled_from([1, 4]),
  tau=st.sampled_from([0.05, 0.3, 1.0]),
)
def test_against_loops(seed, rows, tau):
  two = _random(rows, 2, 3, seed=seed)
  row = two.reshape(-1, 3)
  label = np.random.default_rng(seed).integers(-2, 3, len(row), np.int32)
  for got, want in [
    (_nt_xent(two, tau), _slow_nt_xent(two, tau)),
    (_suncet(row, label, tau), _slow_suncet(row, label, tau)),
  ]:
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


LABEL = np.array([0, 0, 1, 2, 1, -1, 0, -1], np.int32)
# Loss of one array, its NumPy version, and the array's shape.
LOSSES = {
  'nt_xent': (
    lambda x: _nt_xent(x, 0.3),
    lambda x: _slow_nt_xent(x, 0.3),
    (8, 2, 3),
  ),
  'suncet': (
    lambda x: _suncet(x, LABEL, 0.3),
    lambda x: _slow_suncet(x, LABEL, 0.3),
    (8, 3),
  ),
}


@pytest.mark.parametrize('name', sorted(LOSSES))
def test_gradient_by_finite_differences_of_the_loops(name):
  loss, slow, shape = LOSSES[name]
  x, direction = _random(*shape), _random(*shape, seed=1).astype(np.float64)
  step = 1e-5
  want = (slow(x + step * direction) - slow(x - step * direction)) / (2 * step)
  got = np.sum(jax.grad(loss)(x) * direction)
  np.testing.assert_allclose(got, want, rtol=1e-4)


@pytest.mark.parametrize('name', sorted(LOSSES))
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_lengths_of_embeddings_change_nothing(name, seed):
  loss, _, shape = LOSSES[name]
  x = _random(*shape, seed=seed)
  scale = np.exp(_random(*shape[:-1], 1, seed=seed + 1))
  got = loss(x * scale)
  np.testing.assert_allclose(got, loss(x), rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_order_of_rows_and_of_nt_xents_views_changes_nothing(seed):
  order = np.random.default_rng(seed).permutation(8)
  x = _random(8, 2, 3, seed=seed)
  for got, want in [
    (_nt_xent(x[order, ::-1], 0.3), _nt_xent(x, 0.3)),
    (
      _suncet(x[order, 0], LABEL[order], 0.3),
      _suncet(x[:, 0], LABEL, 0.3),
    ),
  ]:
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_a_row_without_label_takes_no_gradient():
  # A row alone in its class has one: it is a negative of the others.
  grad = jax.grad(LOSSES['suncet'][0])(_random(8, 3))
  np.testing.assert_array_equal(np.any(grad, axis=1), LABEL >= 0)


@pytest.mark.parametrize('label', [[-1] * 4, [0, 1, 2, 3], [0, 1, -1, -1]])
def test_suncet_without_anchors_is_zero_with_zero_gradient(label):
  def loss(x):
    return _suncet(x, jnp.array(label, jnp.int32), 0.1)

  # Nor a NaN on the way, which a later `where` may hide.
  with jax.debug_nans(True):
    value, grad = jax.value_and_grad(loss)(_random(4, 3))
  assert value == 0
  np.testing.assert_array_equal(grad, np.zeros((4, 3)))


@pytest.mark.parametrize('tau', [1e-4, 1e4])
def test_extreme_temperatures_copies_and_zeros_stay_finite(tau):
  x = jnp.asarray(_random(8, 2, 3)).at[0].set(0.0).at[1].set(1.0)
  for loss in (
    lambda x: _nt_xent(x, tau),
    lambda x: _suncet(x[:, 0], LABEL, tau),
  ):
    value, grad = jax.value_and_grad(loss)(x)
    assert np.isfinite(value)
    assert np.all(np.isfinite(grad))


@pytest.mark.parametrize('name', sorted(LOSSES))
def test_bfloat16_is_computed_in_float32(name):
  loss, _, shape = LOSSES[name]
  x = jnp.asarray(_random(*shape), jnp.bfloat16)
  assert loss(x).dtype == jnp.float32
  assert loss(x) == loss(x.astype(jnp.float32))


@pytest.mark.parametrize('name', sorted(LOSSES))
def test_equal_on_any_number_of_devices(name):
  loss, _, shape = LOSSES[name]
  x = _random(*shape)
  want = jax.value_and_grad(loss)(x)
  for devices in (1, 2, 8):
    mesh = mesh_lib.make_mesh(jax.devices()[:devices])
    placed = jax.device_put(x, mesh_lib.sharded(mesh))
    got = jax.jit(jax.value_and_grad(loss))(placed)
    np.testing.assert_allclose(got[0], want[0], rtol=1e-5)
    np.testing.assert_allclose(got[1], want[1], rtol=1e-4, atol=1e-6)


def test_no_device_holds_all_logits():
  rows, mesh = 24, mesh_lib.make_mesh()
  x = jax.device_put(_random(2 * rows, 3), mesh_lib.sharded(mesh))
  label = jax.device_put(np.zeros(2 * rows, np.int32), mesh_lib.sharded(mesh))
  for loss, arguments in [
    (lambda x: _nt_xent(x.reshape(rows, 2, 3), 0.1), (x,)),
    (lambda x, y: _suncet(x, y, 0.1), (x, label)),
  ]:
    compiled = jax.jit(jax.value_and_grad(loss)).lower(*arguments).compile()
    text = compiled.as_text()
    assert f'[{2 * rows // 8},{2 * rows}]' in text
    assert f'[{2 * rows},{2 * rows}]' not in text
