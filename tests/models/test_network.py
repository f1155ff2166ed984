"""The network over views: grouping, heads, precision, devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from semppl_jax.models.network import HEADS, make_network
from semppl_jax.runtime import mesh as mesh_lib
from tests.helpers import small_network
from tests.helpers.small_network import B, D

VIEWS = small_network.make_views((2, 8), (1, 12))


@pytest.fixture(scope='module')
def variables():
  params, state = jax.eval_shape(
    small_network.make().init, jax.random.key(0), VIEWS
  )
  rng = np.random.default_rng(1)

  def draw(p):
    # Scales that are not zero, so that no path is left out.
    deviation = np.prod(p.shape[:-1]) ** -0.5 if p.shape[0] > 1 else 0.5
    return jnp.asarray(rng.normal(size=p.shape) * deviation, p.dtype)

  params = jax.tree.map(draw, params)
  state = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), state)
  _, state = _apply(small_network.make(), params, state, VIEWS)
  return params, state


@functools.cache
def _compiled(network):
  return jax.jit(network.apply, static_argnums=3)


def _apply(network, params, state, views, is_training=True, support=None):
  return _compiled(network)(params, state, views, is_training, support)


def _assert_close(got, want, tolerance=3e-4):
  assert jax.tree.structure(got) == jax.tree.structure(want)
  jax.tree.map(
    lambda g, w: np.testing.assert_allclose(
      g, w, rtol=tolerance, atol=tolerance
    ),
    got,
    want,
  )


def test_shapes_and_types(variables):
  outputs, state = _apply(small_network.make(), *variables, VIEWS)
  assert outputs.features.shape == (B, 3, 128)
  assert outputs.projection.shape == (B, 3, D)
  assert outputs.prediction.shape == (B, 3, D)
  assert outputs.scores.shape == (B, 3, 6)
  assert outputs.logits.shape == (B, 3, 3)
  assert {x.dtype for x in jax.tree.leaves(outputs)} == {jnp.dtype('float32')}
  assert jax.tree.structure(state) == jax.tree.structure(variables[1])


def test_fresh_parameters_are_float32_whatever_the_precision():
  a, b = (
    small_network.make(precision=p).init(jax.random.key(0), VIEWS)
    for p in ('float32', 'bfloat16')
  )
  jax.tree.map(np.testing.assert_array_equal, a, b)
  assert {x.dtype for x in jax.tree.leaves(b[0])} == {jnp.dtype('float32')}


def test_sizes_are_concatenated_in_order_and_an_empty_one_skipped(variables):
  together, _ = _apply(small_network.make(), *variables, VIEWS)
  first, state = _apply(small_network.make(), *variables, VIEWS[:1])
  none = jnp.zeros((B, 0, 6, 6, 3))
  second, last = _apply(
    small_network.make(), variables[0], state, (none, VIEWS[1])
  )
  _assert_close(
    together, jax.tree.map(lambda *x: np.concatenate(x, 1), first, second)
  )
  # Each size in turn updates the averages: once before, twice here.
  counters = [s['counter'] for s in last.values()]
  assert set(map(int, counters)) == {4}


def test_statistics_of_each_view_are_its_own(variables):
  (views,) = small_network.make_views((3, 8))
  together, _ = _apply(small_network.make('view'), *variables, (views,))
  for v in range(3):
    alone, _ = _apply(
      small_network.make('view'), *variables, (views[:, v : v + 1],)
    )
    _assert_close(jax.tree.map(lambda x, v=v: x[:, v : v + 1], together), alone)


def test_statistics_of_a_resolution_are_shared(variables):
  (views,) = small_network.make_views((3, 8))
  together, _ = _apply(small_network.make('resolution'), *variables, (views,))
  rows = views.reshape(3 * B, 1, 8, 8, 3)
  flat, _ = _apply(small_network.make('view'), *variables, (rows,))
  _assert_close(together, jax.tree.map(lambda x: x.reshape(B, 3, -1), flat))
  apart, _ = _apply(small_network.make('view'), *variables, (views,))
  assert np.abs(together.features - apart.features).max() > 0.1


def test_evaluation_keeps_the_state_and_ignores_other_rows(variables):
  network = small_network.make()
  outputs, state = _apply(network, *variables, VIEWS, is_training=False)
  jax.tree.map(np.testing.assert_array_equal, state, variables[1])
  few = tuple(v[3:5] for v in VIEWS)
  want, _ = _apply(network, *variables, few, is_training=False)
  _assert_close(jax.tree.map(lambda x: x[3:5], outputs), want)
  embedded = jax.jit(network.embed)(*variables, VIEWS[0][:, 1])
  _assert_close(jax.tree.map(lambda x: x[:, 1:2], outputs), embedded)


def test_target_network_is_a_part_of_the_online_one(variables):
  online, target = (
    small_network.make(),
    small_network.make(heads=('projector',)),
  )
  params, state = map(target.select, variables)
  shapes = jax.eval_shape(target.init, jax.random.key(0), VIEWS)
  assert jax.tree.structure((params, state)) == jax.tree.structure(shapes)
  want, _ = _apply(online, *variables, VIEWS)
  got, _ = _apply(target, params, state, VIEWS)
  assert got.prediction is None
  _assert_close(got, want._replace(prediction=None, scores=None, logits=None))


def test_without_heads_there_are_features_alone(variables):
  network = small_network.make(heads=())
  outputs, _ = _apply(network, *map(network.select, variables), VIEWS)
  assert set(outputs[1:]) == {None}


@pytest.mark.parametrize('given', ['features', 'projector_hidden'])
def test_the_classifier_is_linear_from_zero(variables, given):
  def config():
    c = small_network.get_config()
    c.classifier.input = given
    return c

  network = make_network(config(), heads=HEADS, bn_groups='view')
  fresh, _ = jax.jit(network.init)(jax.random.key(0), VIEWS)
  assert not any(x.any() for x in fresh['classifier'].values())
  width = {'features': 128, 'projector_hidden': 12}[given]
  assert fresh['classifier']['w'].shape == (width, 3)
  params, state = variables
  rng = np.random.default_rng(3)
  w = rng.normal(size=(width, 3)).astype(np.float32)
  params = params | {'classifier': {'w': jnp.asarray(w), 'b': jnp.arange(3.0)}}
  outputs, _ = _apply(network, params, state, VIEWS, is_training=False)
  x = np.asarray(outputs.features, np.float64)
  if given == 'projector_hidden':
    host = jax.device_get(params)
    linear, norm = host['projector/linear'], host['projector/batch_norm']
    mean, var = (
      np.asarray(state[f'projector/batch_norm/~/{name}_ema']['average'])
      for name in ('mean', 'var')
    )
    x = (x @ linear['w'] + linear['b'] - mean) / np.sqrt(var + 1e-5)
    x = np.maximum(x * norm['scale'] + norm['offset'], 0)
  np.testing.assert_allclose(
    outputs.logits, x @ w + np.arange(3.0), rtol=1e-4, atol=1e-4
  )


def test_a_frozen_network_trains_its_classifier_alone(variables):
  params, state = variables
  frozen = make_network(
    small_network.get_config(), heads=HEADS, bn_groups='view', frozen=True
  )

  def loss(params):
    outputs, new = frozen.apply(params, state, VIEWS, True)
    parts = (x.mean() for x in jax.tree.leaves(outputs))
    return sum(parts), (outputs, new)

  grads, (outputs, new) = jax.jit(jax.grad(loss, has_aux=True))(params)
  jax.tree.map(np.testing.assert_array_equal, new, state)
  moved = {k for k, g in grads.items() if any(x.any() for x in g.values())}
  assert moved == {'classifier'}
  by_averages, _ = _apply(
    small_network.make(), params, state, VIEWS, is_training=False
  )
  _assert_close(outputs, by_averages)
  shapes = jax.eval_shape(frozen.init, jax.random.key(0), VIEWS)
  assert jax.tree.structure(shapes) == jax.tree.structure((params, state))


def _loss_and_grad(network, state, views):
  def loss(params):
    outputs, new = network.apply(params, state, views, is_training=True)
    ends = (outputs.prediction, outputs.scores, outputs.logits)
    return sum(jnp.mean(jnp.square(x - 1.0)) for x in ends), (outputs, new)

  return jax.value_and_grad(loss, has_aux=True)


def test_bfloat16_is_for_convolutions_alone(variables):
  params, state = variables
  network = small_network.make(precision='bfloat16')
  run = _loss_and_grad(network, state, VIEWS)
  (_, (outputs, new)), grads = jax.jit(run)(params)
  assert {x.dtype for x in jax.tree.leaves(grads)} == {jnp.dtype('float32')}
  assert {x.dtype for x in jax.tree.leaves(outputs)} == {jnp.dtype('float32')}
  jax.tree.map(lambda a, b: _assert_same_type(a, b), new, state)
  exact, _ = _apply(small_network.make(), params, state, VIEWS)
  error = np.abs(outputs.features - exact.features).max()
  assert 0 < error < 0.1 * np.abs(exact.features).max()
  equations = str(jax.make_jaxpr(run)(params)).splitlines()
  convolutions = [e for e in equations if 'conv_general_dilated[' in e]
  assert convolutions and all('bf16[' in e for e in convolutions)


def _assert_same_type(a, b):
  assert a.dtype == b.dtype and a.shape == b.shape


def test_gradient_reaches_every_parameter(variables):
  params, state = variables
  _, grads = jax.jit(_loss_and_grad(small_network.make(), state, VIEWS))(params)
  for path, grad in jax.tree_util.tree_leaves_with_path(grads):
    assert np.any(grad), path


@pytest.fixture(scope='module')
def on_eight(variables):
  """A compiled gradient with the batch over eight devices, and its inputs."""
  params, state = variables
  mesh = mesh_lib.make_mesh()
  run = lambda params, views: _loss_and_grad(
    small_network.make(), state, views
  )(params)
  views = small_network.make_views((2, 8), (1, 12), batch=16)
  inputs = (
    jax.device_put(params, mesh_lib.replicated(mesh)),
    jax.device_put(views, mesh_lib.sharded(mesh)),
  )
  return run, jax.jit(run).lower(*inputs).compile(), inputs, (params, views)


def test_eight_devices_equal_one(on_eight):
  run, compiled, sharded, whole = on_eight
  (got, want) = compiled(*sharded), jax.jit(run)(*whole)
  # Batch norms over few values enlarge the rounding of the layers below.
  _assert_close(got, want, 3e-4)


def _assert_rows_stay(compiled):
  text = compiled.as_text()
  assert 'all-reduce' in text
  for collective in ('all-gather', 'all-to-all', 'collective-permute'):
    assert collective not in text


def test_rows_stay_on_their_devices(on_eight):
  _assert_rows_stay(on_eight[1])


def test_a_support_batch_shares_the_statistics_of_the_first_size(variables):
  network = small_network.make('resolution')
  support = small_network.make_views((1, 8), batch=4, seed=5)[0]
  outputs, _ = _apply(network, *variables, VIEWS, support=support)
  assert outputs.projection.shape == (B, 3, D)
  assert outputs.support.projection.shape == (4, 1, D)
  rows = [x.reshape(-1, 1, 8, 8, 3) for x in (VIEWS[0], support)]
  together = (jnp.concatenate(rows),)
  want, _ = _apply(network, *variables, together)
  _assert_close(outputs.support.prediction, want.prediction[2 * B :])
  first = outputs.prediction[:, :2].reshape(2 * B, 1, D)
  _assert_close(first, want.prediction[: 2 * B])


def test_eight_devices_join_their_own_support(variables):
  mesh = mesh_lib.make_mesh()
  views = small_network.make_views((2, 8), (1, 12), batch=16)
  support = small_network.make_views((1, 8), batch=24, seed=5)[0]

  def run(shards, place):
    network = make_network(
      small_network.get_config(),
      heads=HEADS,
      bn_groups='resolution',
      shards=shards,
    )
    apply = jax.jit(network.apply, static_argnums=3)
    return apply.lower(*place((*variables, views)), True, place(support))

  def spread(tree):
    if isinstance(tree, tuple):
      params, state, views = tree
      return (
        *jax.device_put((params, state), mesh_lib.replicated(mesh)),
        jax.device_put(views, mesh_lib.sharded(mesh)),
      )
    return jax.device_put(tree, mesh_lib.sharded(mesh))

  compiled = run(8, spread).compile()
  _assert_rows_stay(compiled)
  got = compiled(*spread((*variables, views)), spread(support))
  want = run(1, lambda tree: tree).compile()(*variables, views, support)
  _assert_close(got, want)


def test_a_support_batch_needs_shared_statistics(variables):
  with pytest.raises(ValueError, match="bn_groups='resolution'"):
    _apply(small_network.make('view'), *variables, VIEWS, support=VIEWS[0])


@pytest.mark.parametrize(
  'arguments, message',
  [
    ({'bn_groups': 'batch'}, r"bn_groups is 'batch'.*'view' or 'resolution'"),
    ({'heads': ('predictor',)}, r"heads is \('predictor',\)"),
    ({'classifier.classes': 0}, r'classifier\.classes is 0'),
    ({'classifier.input': 'pixels'}, r"input is 'pixels'.*'features' or"),
    ({'width': 5}, r'network\.width.*5'),
  ],
)
def test_bad_values_are_named(arguments, message):
  with pytest.raises(ValueError, match=message):
    small_network.make(**arguments)


def test_bad_precision_is_named():
  config = small_network.get_config()
  config.precision = 'float16'
  with pytest.raises(ValueError, match=r"precision is 'float16'.*'bfloat16'"):
    make_network(config, heads=(), bn_groups='view')
