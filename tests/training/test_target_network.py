"""Targets of a loss: their values, and no gradient."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import quickstart
from semppl_jax.models.network import Outputs
from semppl_jax.training.target_network import make_target


def _target(kind, **fields):
  method = types.SimpleNamespace(
    target=kind, heads=('projector', 'predictor'), bn_groups='view', **fields
  )
  return make_target(quickstart.get_config(), method)


def _outputs():
  x = jnp.arange(24.0).reshape(2, 3, 4)
  return Outputs(x, 2 * x, support=Outputs(x[:, :1], x[:, :1]))


def test_stop_gradient_takes_the_large_views_and_the_support():
  targets = _target('stop_gradient').outputs(_outputs(), None, 2)
  np.testing.assert_array_equal(
    targets.projection, _outputs().projection[:, :2]
  )
  np.testing.assert_array_equal(
    targets.support.features, _outputs().support.features
  )


def test_no_gradient_flows_into_stop_gradient():
  target = _target('stop_gradient')

  def loss(scale):
    online = jax.tree.map(lambda x: scale * x, _outputs())
    targets = target.outputs(online, None, 2)
    return sum(jnp.sum(x**2) for x in jax.tree.leaves(targets))

  assert jax.grad(loss)(1.0) == 0


def test_ema_moves_by_one_minus_the_decay_without_the_predictor():
  target = _target('ema')
  params = {
    'projector/linear_0': {'w': jnp.ones(2)},
    'predictor/linear_0': {'w': jnp.ones(2)},
  }
  averages, _ = target.init(params, {})
  assert [*averages] == ['projector/linear_0']
  moved = target.update(
    jax.tree.map(jnp.zeros_like, averages), params, jnp.float32(0.9)
  )
  np.testing.assert_allclose(moved['projector/linear_0']['w'], 0.1, rtol=1e-6)


@pytest.mark.parametrize('kind', ['stop_gradient', 'none'])
def test_without_a_network_of_its_own_there_is_no_state(kind):
  target = _target(kind)
  assert target.init({'a': 1}, {'b': 2}) == ((), ())
  assert target.forward((), (), jnp.zeros((1, 1, 2, 2, 3))) == (None, ())
  assert target.update((), {'a': 1}, jnp.float32(0.9)) == ()


def test_none_has_no_targets():
  assert _target('none').outputs(_outputs(), None, 2) is None
