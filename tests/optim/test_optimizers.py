"""LARS against its recursion in NumPy, and the masks by name."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import base
from semppl_jax.optim import optimizers, schedules

SETTINGS = dict(momentum=0.9, trust_coefficient=1e-3, weight_decay=1e-2)


def _params(seed=0):
  rng = np.random.default_rng(seed)
  draw = lambda *s: jnp.asarray(rng.normal(size=s), jnp.float32)
  return {
    'net/conv': {'w': draw(3, 3, 2, 4)},
    'net/batchnorm': {'scale': draw(1, 1, 1, 4), 'offset': draw(1, 1, 1, 4)},
    'net/embed': {'w': draw(4, 5), 'b': draw(5)},
    'net/zero': {'w': jnp.zeros((2, 2))},
  }


def test_weights_are_told_by_name():
  assert optimizers.weights_mask(_params()) == {
    'net/conv': {'w': True},
    'net/batchnorm': {'scale': False, 'offset': False},
    'net/embed': {'w': True, 'b': False},
    'net/zero': {'w': True},
  }


def _slow_lars(p, g, m, rate, weight):
  if weight:
    g = g + SETTINGS['weight_decay'] * p
    norms = np.linalg.norm(p), np.linalg.norm(g)
    if min(norms) > 0:
      g = g * SETTINGS['trust_coefficient'] * norms[0] / norms[1]
  m = SETTINGS['momentum'] * m + g
  return p - rate * m, m


def _slow_lars_paws(p, g, m, rate, weight):
  norms = np.linalg.norm(p), np.linalg.norm(g)
  if weight and min(norms) > 0:
    decay = SETTINGS['weight_decay']
    trust = SETTINGS['trust_coefficient'] * norms[0]
    g = (g + decay * p) * trust / (norms[1] + decay * norms[0] + 1e-8)
  m = SETTINGS['momentum'] * m - rate * g
  return p + m, m


@pytest.mark.parametrize(
  'make, slow_update',
  [(optimizers.lars, _slow_lars), (optimizers.lars_paws, _slow_lars_paws)],
)
def test_lars_is_its_recursion(make, slow_update):
  schedule = schedules.warmup_cosine(0.3, 5, 20, start=0.1)
  tx = make(**SETTINGS)
  params = _params()
  slow = jax.tree.map(np.asarray, params)
  buffers = jax.tree.map(np.zeros_like, slow)
  mask = optimizers.weights_mask(params)
  state = tx.init(params)
  update = jax.jit(tx.update)
  for step in range(12):
    grads = _params(seed=step + 1)
    # A kernel that nothing reaches neither moves nor decays in PAWS's order.
    grads['net/embed']['w'] *= float(step % 3 > 0)
    rate = float(schedule(step))
    updates, state = update(grads, state, params, learning_rate=rate)
    params = optax.apply_updates(params, updates)

    def one(p, g, m, weight, rate=rate):
      return slow_update(p, np.asarray(g, np.float64), m, rate, weight)

    moved = jax.tree.map(one, slow, grads, buffers, mask)
    pick = lambda n, moved=moved: jax.tree.map(
      lambda pair: pair[n], moved, is_leaf=lambda x: isinstance(x, tuple)
    )
    slow, buffers = pick(0), pick(1)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6),
        params, slow,
    )  # fmt: skip


def test_lars_of_paws_golden_first_step():
  # p = (3, 4), g = (0, 1): (g + 0.2 p) * 0.1 * 5 / (1 + 0.2 * 5); times -2.
  lars = optimizers.lars_paws(
    momentum=0.9, trust_coefficient=0.1, weight_decay=0.2
  )
  params = {'m': {'w': jnp.array([3.0, 4.0])}}
  grads = {'m': {'w': jnp.array([0.0, 1.0])}}
  updates, _ = lars.update(grads, lars.init(params), params, learning_rate=2.0)
  np.testing.assert_allclose(updates['m']['w'], [-0.3, -0.9], rtol=1e-6)


def test_lars_golden_first_step():
  # p = (3, 4), g = (0, 1): trust 0.1 * 5 / 1, so g = (0, 0.5); p - 2 g.
  lars = optimizers.lars(momentum=0.9, trust_coefficient=0.1, weight_decay=0.0)
  params = {'m': {'w': jnp.array([3.0, 4.0])}}
  grads = {'m': {'w': jnp.array([0.0, 1.0])}}
  updates, _ = lars.update(grads, lars.init(params), params, learning_rate=2.0)
  np.testing.assert_allclose(updates['m']['w'], [0.0, -1.0], rtol=1e-6)


def test_lars_is_not_that_of_optax_in_a_warm_up():
  """The learning rate multiplies after the momentum buffer, not before."""
  schedule = optax.linear_schedule(0.0, 1.0, 50)
  ours = optimizers.lars(**SETTINGS)
  theirs = optax.lars(
      schedule, SETTINGS['weight_decay'], optimizers.weights_mask,
      SETTINGS['trust_coefficient'], trust_ratio_mask=optimizers.weights_mask,
      momentum=SETTINGS['momentum'],
  )  # fmt: skip
  params, grads = _params(), _params(1)
  our_state, their_state = ours.init(params), theirs.init(params)
  for step in range(3):
    mine, our_state = ours.update(
      grads, our_state, params, learning_rate=schedule(step)
    )
    other, their_state = theirs.update(grads, their_state, params)
  norms = [jnp.linalg.norm(x['net/conv']['w']) for x in (mine, other)]
  ratio = float(norms[0] / norms[1])
  assert ratio == pytest.approx((1 + 0.9 + 0.81) * 2 / (2 + 0.9), rel=1e-3)


def test_trust_ratio_is_the_mean_over_weights():
  measure = optimizers.trust_ratio_metrics
  config = base.get_config()
  config.optimizer.update(trust_coefficient=0.1, weight_decay=0.0)
  params = {'a': {'w': jnp.array([3.0, 4.0]), 'b': jnp.ones(2)},
            'z': {'w': jnp.zeros(2)}}  # fmt: skip
  grads = {'a': {'w': jnp.array([0.0, 2.0]), 'b': jnp.ones(2)},
           'z': {'w': jnp.ones(2)}}  # fmt: skip
  got = measure(params, grads, config)['lars/trust_ratio']
  np.testing.assert_allclose(got, (0.1 * 5 / 2 + 1.0) / 2, rtol=1e-6)
  config.optimizer.update(name='lars_paws', weight_decay=0.2)
  got = measure(params, grads, config)['lars/trust_ratio']
  np.testing.assert_allclose(got, (0.1 * 5 / 3 + 1.0) / 2, rtol=1e-6)
  config.optimizer.name = 'adam'
  assert measure(params, grads, config) == {}


def test_adam_decays_weights_only():
  tx = optimizers.adam(weight_decay=0.5)
  params = _params()
  grads = jax.tree.map(jnp.zeros_like, params)
  updates, _ = tx.update(grads, tx.init(params), params, learning_rate=0.1)
  np.testing.assert_allclose(
    updates['net/conv']['w'], -0.05 * params['net/conv']['w'], rtol=1e-6
  )
  assert not updates['net/embed']['b'].any()


@pytest.mark.parametrize('name', optimizers.NAMES)
def test_a_narrow_momentum_is_the_wide_one_but_for_rounding(name):
  """A bfloat16 has 8 bits; the sum itself is made in float32."""
  config = base.get_config()
  config.optimizer.name = name
  found = {}
  for dtype in ('float32', 'bfloat16'):
    config.optimizer.momentum_dtype = dtype
    optimizer = optimizers.make_optimizer(config)
    params = _params()
    state = optimizer.init(params)
    for seed in range(5):
      updates, state = jax.jit(optimizer.update)(
        _params(seed + 1), state, params, learning_rate=jnp.float32(0.1)
      )
      assert {x.dtype for x in jax.tree.leaves(updates)} == {jnp.float32.dtype}
    narrow = [x for x in jax.tree.leaves(state) if x.dtype == jnp.bfloat16]
    assert len(narrow) == (len(jax.tree.leaves(params)) if '16' in dtype else 0)
    found[dtype] = updates
  for a, b in zip(*map(jax.tree.leaves, found.values()), strict=True):
    largest = np.abs(a).max()
    np.testing.assert_allclose(a, b, rtol=0, atol=2e-2 * largest)
    assert not largest or np.any(a != b)
