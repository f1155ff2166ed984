"""Batch norm against Haiku's, against NumPy, and over groups and devices."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from semppl_jax.models.backbones.batch_norm import BatchNorm
from semppl_jax.runtime import mesh as mesh_lib

DECAY, EPS = 0.9, 1e-5


def _ours(x, is_training, groups=1):
  return BatchNorm(DECAY, EPS)(jnp.asarray(x), is_training, groups)


def _haikus(x, is_training, groups=1):
  assert groups == 1
  return hk.BatchNorm(True, True, DECAY, EPS)(x, is_training)


OURS = hk.transform_with_state(_ours)


def _inputs(shape, seed=0):
  rng = np.random.default_rng(seed)
  spread = rng.uniform(0.5, 3.0, shape[-1])
  shift = rng.normal(size=shape[-1])
  return (rng.normal(size=shape) * spread + shift).astype(np.float32)


def _variables(x, seed=1):
  """Parameters that are not one and zero, and averages of one update."""
  rng = np.random.default_rng(seed)
  params, state = OURS.init(None, x, True)
  params = jax.tree.map(
    lambda p: jnp.asarray(rng.normal(size=p.shape), jnp.float32), params
  )
  _, state = OURS.apply(params, state, None, x, True)
  return params, state


@pytest.mark.parametrize('is_training', [True, False])
@pytest.mark.parametrize('shape', [(6, 5, 4, 3), (16, 7)])
def test_one_group_equals_haiku(shape, is_training):
  x = _inputs(shape)
  params, state = _variables(x)
  weight = _inputs(shape, seed=2)

  def run(module):
    def loss(params, x):
      y, new = hk.transform_with_state(module).apply(
        params, state, None, x, is_training
      )
      return jnp.sum(y * weight), (y, new)

    # Haiku itself does not run under strict promotion.
    with jax.numpy_dtype_promotion('standard'):
      return jax.grad(loss, argnums=(0, 1), has_aux=True)(params, x)

  got, want = run(_ours), run(_haikus)
  assert jax.tree.structure(got) == jax.tree.structure(want)
  jax.tree.map(
    lambda g, w: np.testing.assert_allclose(g, w, rtol=2e-4, atol=2e-4),
    got,
    want,
  )


def test_groups_equal_a_call_on_each():
  x = _inputs((5, 3, 4, 4, 2))  # [B, V, H, W, C]
  x += 2.0 * np.arange(3, dtype=np.float32).reshape(1, 3, 1, 1, 1)
  params, state = _variables(x[:, 0])
  y, new = OURS.apply(params, state, None, x.reshape(-1, *x.shape[2:]), True, 3)
  y = y.reshape(x.shape)
  hidden = []
  for view in range(3):
    want, alone = OURS.apply(params, state, None, x[:, view], True)
    np.testing.assert_allclose(y[:, view], want, rtol=1e-5, atol=1e-5)
    hidden.append(alone['batch_norm/~/var_ema']['hidden'])
  got = new['batch_norm/~/var_ema']
  np.testing.assert_allclose(got['hidden'], np.mean(hidden, 0), rtol=1e-5)
  assert got['counter'] == 2


def test_against_numpy():
  x = _inputs((4, 3, 3, 2))
  params, state = OURS.init(None, x, True)
  y, state = OURS.apply(params, state, None, x, True)
  mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
  np.testing.assert_allclose(
    y, (x - mean) / np.sqrt(var + EPS), rtol=1e-4, atol=1e-5
  )
  average = state['batch_norm/~/var_ema']['average']
  np.testing.assert_allclose(average.ravel(), var, rtol=1e-5)


def test_evaluation_ignores_the_batch_and_keeps_the_state():
  x = _inputs((6, 4, 4, 3))
  params, state = _variables(x)
  y, new = OURS.apply(params, state, None, x, False)
  few, _ = OURS.apply(params, state, None, x[:2], False)
  np.testing.assert_array_equal(y[:2], few)
  jax.tree.map(np.testing.assert_array_equal, new, state)


def test_bfloat16_keeps_float32_statistics():
  x = jnp.asarray(_inputs((64, 8, 8, 2)), jnp.bfloat16)
  params, state = OURS.init(None, x, True)
  y, state = OURS.apply(params, state, None, x, True)
  assert y.dtype == jnp.bfloat16
  kept = {a.dtype for a in jax.tree.leaves((params, state))}
  assert kept == {jnp.dtype('float32'), jnp.dtype('int32')}
  exact = np.asarray(x, np.float64).mean((0, 1, 2))
  average = state['batch_norm/~/mean_ema']['average']
  np.testing.assert_allclose(average.ravel(), exact, rtol=1e-5)


def test_constant_channels_stay_finite():
  # Of so many large constants, rounding gives some a negative variance.
  values = np.random.default_rng(0).uniform(1e3, 1e4, 64).astype(np.float32)
  x = np.tile(values, (7, 3, 3, 1))
  params, state = OURS.init(None, x, True)
  run = lambda x: OURS.apply(params, state, None, x, True)[0]
  assert np.isfinite(run(x)).all()
  assert np.isfinite(jax.grad(lambda x: jnp.sum(run(x)))(x)).all()


@pytest.mark.parametrize('groups', [1, 2])
def test_eight_devices_equal_one(groups):
  x = _inputs((32, 4, 4, 3))
  params, state = _variables(x)
  run = jax.jit(lambda x: OURS.apply(params, state, None, x, True, groups))
  sharding = mesh_lib.sharded(mesh_lib.make_mesh())
  got, want = run(jax.device_put(x, sharding)), run(x)
  jax.tree.map(
    lambda g, w: np.testing.assert_allclose(g, w, rtol=3e-6, atol=3e-6),
    got,
    want,
  )
