"""SwAV's loss and queue against loops in NumPy, and its prototypes in steps."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import base, quickstart
from semppl_jax import methods
from semppl_jax.methods import swav
from semppl_jax.methods.base import Inputs, MethodContext
from semppl_jax.models.network import Outputs
from semppl_jax.optim import optimizers
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.training import aot
from semppl_jax.training.train_step import make_train_step

ROWS, LARGE, SMALL, DIM, PROTOTYPES = 8, 2, 2, 5, 6


def _config(**fields):
  c = base.get_config()
  c.method, c.batch_size = 'swav', ROWS
  c.views.large.count, c.views.small.count = LARGE, SMALL
  c.network.projector.output, c.network.prototypes = DIM, PROTOTYPES
  c.swav.update(fields)
  return c


def _make(config, devices=1):
  mesh = mesh_lib.make_mesh(jax.devices()[:devices])
  return swav.make(config, MethodContext(mesh, ROWS, 10 * ROWS))


def _loss(method):
  """`(trained, fixed, memory, step) -> LossResult` and its gradients."""

  def loss(trained, fixed, memory, step):
    online, (target, params) = trained, fixed
    inputs = Inputs(online, target, None, memory, None, step, params)
    result = method.loss(inputs)
    return result.loss, result

  return jax.jit(
    jax.value_and_grad(loss, (0, 1, 2), has_aux=True, allow_int=True)
  )


def _unit(x):
  return x / np.linalg.norm(x, axis=-1, keepdims=True)


def _step_of(seed):
  """What is trained and what is not in a step, with its own prototypes."""
  draw = np.random.default_rng(seed).normal
  kernel = _unit(draw(size=(PROTOTYPES, DIM))).T
  projection = draw(size=(ROWS, LARGE + SMALL, DIM))
  scores = _unit(projection) @ kernel
  online = Outputs(None, np.float32(projection), scores=np.float32(scores))
  target = jax.tree.map(lambda x: x[:, :LARGE], online)
  return online, (target, {'prototypes': {'w': np.float32(kernel)}})


def _slow_assign(scores, config):
  """Sinkhorn-Knopp on the numbers themselves and not their logarithms."""
  q = np.exp(scores / config.swav.epsilon)
  for _ in range(config.swav.iterations):
    for k in range(q.shape[1]):
      q[:, k] /= sum(q[:, k])
    for m in range(q.shape[0]):
      q[m] /= sum(q[m])
  return q


def _slow_loss(config, online, fixed, queue=None):
  """Equation 2 of the paper; `queue` has a list of rows per large view."""
  kernel, each = np.float64(fixed[1]['prototypes']['w']), []
  scores, projection = map(np.float64, (online.scores, fixed[0].projection))
  for i in range(LARGE):
    rows = list(_unit(projection[:, i])) + (queue[i] if queue else [])
    targets = _slow_assign(np.array(rows) @ kernel, config)
    for j in range(LARGE + SMALL):
      for m in range(ROWS):
        p = np.exp(scores[m, j] / config.swav.temperature)
        p /= sum(p)
        if i != j:
          each.append(-np.sum(targets[m] * np.log(p)))
  return np.mean(each)


@pytest.mark.parametrize('change', [
    {},
    {'temperature': 0.5},
    {'epsilon': 0.3, 'iterations': 1},
], ids=str)  # fmt: skip
def test_value_and_gradient_are_those_of_the_paper(change):
  config = _config(**change)
  method, (online, fixed) = _make(config), _step_of(0)
  memory, step = method.init_memory(), jnp.int32(0)
  (got, _), grads = _loss(method)(online, fixed, memory, step)
  want = _slow_loss(config, online, fixed)
  np.testing.assert_allclose(got, want, rtol=1e-5)
  direction = np.random.default_rng(1).normal(size=online.scores.shape)

  def at(t):
    moved = online._replace(scores=online.scores + t * direction)
    return _slow_loss(config, moved, fixed)

  slope = (at(1e-5) - at(-1e-5)) / 2e-5
  np.testing.assert_allclose(
    np.vdot(grads[0].scores, direction), slope, rtol=1e-4
  )


@pytest.mark.parametrize('queue_from', [0, 4])
def test_the_queue_is_first_in_first_out_and_used_when_full_and_due(queue_from):
  """Twelve rows of steps of eight: full after two, with a part of the first."""
  config = _config(queue='12 rows', queue_from=f'{queue_from} steps')
  method = _make(config)
  run, memory = _loss(method), method.init_memory()
  queue, used = [[] for _ in range(LARGE)], []
  for step in range(6):
    online, fixed = _step_of(step)
    (got, result), _ = run(online, fixed, memory, jnp.int32(step))
    full = len(queue[0]) == 12
    used.append(full and step >= queue_from)
    want = _slow_loss(config, online, fixed, queue if used[-1] else None)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    if full:
      other = _slow_loss(config, online, fixed, None if used[-1] else queue)
      assert abs(other - want) > 1e-3
    new = _unit(np.float64(fixed[0].projection))
    queue = [[*new[:, i], *queue[i]][:12] for i in range(LARGE)]
    memory = result.memory
    assert memory.filled == len(queue[0])
    held = memory.embedding[:, : memory.filled]
    np.testing.assert_allclose(held, queue, rtol=1e-5, atol=1e-6)
  assert used == [step >= max(queue_from, 2) for step in range(6)]


def _full_queue():
  """A queue of twelve rows that every loss takes into account."""
  config = _config(queue='12 rows', queue_from='0 steps')
  rows = np.random.default_rng(9).normal(size=(LARGE, 12, DIM))
  return config, swav.FeatureQueue(np.float32(_unit(rows)), np.int32(12))


def test_assignments_take_no_gradient():
  config, memory = _full_queue()
  run = _loss(_make(config))
  _, (online, fixed, old) = run(*_step_of(0), memory, jnp.int32(0))
  rest = jax.tree.leaves((fixed, old.embedding, online.projection))
  assert not any(np.any(x) for x in rest)
  # Small views are trained too.
  assert np.all(np.any(online.scores, axis=-1))


def test_rows_of_an_assignment_sum_to_one():
  """Against a uniform prediction the loss is then log K, and only then."""
  config, memory = _full_queue()
  online, fixed = _step_of(0)
  flat = online._replace(scores=jnp.zeros_like(online.scores))
  run = _loss(_make(config))
  (got, result), _ = run(flat, fixed, memory, jnp.int32(0))
  np.testing.assert_allclose(got, np.log(PROTOTYPES), rtol=1e-6)
  assert 1 < result.metrics['swav/perplexity'] < PROTOTYPES
  even = fixed[0]._replace(scores=jnp.zeros_like(fixed[0].scores))
  memory = memory._replace(filled=jnp.int32(0))
  (_, result), _ = run(online, (even, fixed[1]), memory, jnp.int32(0))
  spread = result.metrics['swav/perplexity']
  np.testing.assert_allclose(spread, PROTOTYPES, rtol=1e-5)


@pytest.mark.parametrize('devices', [2, 8])
def test_device_count_changes_no_number(devices):
  config, memory = _full_queue()
  mesh = mesh_lib.make_mesh(jax.devices()[:devices])
  online, (target, params) = _step_of(0)
  one = _loss(_make(config))(online, (target, params), memory, jnp.int32(0))
  many = _loss(_make(config, devices))(
    jax.device_put(online, mesh_lib.sharded(mesh)),
    (jax.device_put(target, mesh_lib.sharded(mesh)), params),
    jax.device_put(memory, _make(config, devices).memory_sharding),
    jnp.int32(0),
  )
  (value, result), grads = one
  (other, aux), slopes = many
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
    (value, result, grads[0]),
    (other, aux, slopes[0]),
  )


def test_only_the_prototypes_are_brought_to_unit_length():
  rng = np.random.default_rng(0)
  w = jnp.asarray(rng.normal(size=(DIM, PROTOTYPES)), jnp.float32)
  params = {'prototypes': {'w': w}, 'projector/linear': {'w': w}}
  got = _make(_config()).after_update(params, jnp.int32(0))
  np.testing.assert_allclose(
    got['prototypes']['w'], _unit(np.asarray(w.T)).T, rtol=1e-5
  )
  np.testing.assert_array_equal(got['projector/linear']['w'], w)


def _assert_frozen_for_two_steps(kernels):
  lengths = np.linalg.norm(kernels, axis=1)
  np.testing.assert_allclose(lengths, 1.0, rtol=1e-6)
  first, *then = kernels
  for frozen in then[:2]:
    np.testing.assert_allclose(frozen, first, rtol=1e-6, atol=1e-7)
  for a, b in itertools.pairwise(then[1:]):
    assert np.abs(a - b).max() > 1e-5


@pytest.mark.parametrize('name', optimizers.NAMES)
def test_any_optimizer_keeps_frozen_prototypes(name):
  """Whatever it makes of no gradient: decay and momentum."""
  config = _config(freeze='2 steps')
  config.optimizer.update(name=name, weight_decay=0.1)
  method, optimizer = _make(config), optimizers.make_optimizer(config)
  _, (_, params) = _step_of(0)
  params = jax.tree.map(jnp.asarray, params)
  state, kernels = optimizer.init(params), [params['prototypes']['w']]

  @jax.jit
  def train(params, state, grads, step):
    grads = method.after_gradient(grads, step)
    updates, state = optimizer.update(grads, state, params, learning_rate=0.1)
    params = optax.apply_updates(params, updates)
    return method.after_update(params, step), state

  for step in range(4):
    _, (_, grads) = _step_of(step + 1)
    params, state = train(params, state, grads, jnp.int32(step))
    kernels.append(params['prototypes']['w'])
  _assert_frozen_for_two_steps(kernels)


def test_the_train_step_keeps_frozen_prototypes():
  config = quickstart.get_config()
  config.method, config.batch_size = 'swav', ROWS
  config.data.labelled_per_batch = ROWS // 2
  config.views.large.size = 8
  config.network.projector.update(hidden=16, output=DIM)
  config.network.prototypes = PROTOTYPES
  config.swav.freeze, config.probe.enabled = '2 steps', False
  config.augment.jitter = 0.0
  config.optimizer.update(weight_decay=0.1, learning_rate=0.1)
  mesh = mesh_lib.make_mesh(jax.devices()[:1])
  method = methods.make(config, MethodContext(mesh, ROWS, 10 * ROWS))
  step = make_train_step(config, method, mesh, 10, 0)
  rng = np.random.default_rng(0)
  batch = jax.tree.map(
    lambda x: rng.integers(0, 256, x.shape).astype(x.dtype),
    aot.abstract_batch(config, mesh),
  )
  state, train = jax.jit(step.init)(), jax.jit(step.train)
  kernels = [state.params['prototypes']['w']]
  for _ in range(4):
    before = state.params['projector/linear']['w']
    state, _ = train(state, batch)
    assert np.any(state.params['projector/linear']['w'] != before)
    kernels.append(state.params['prototypes']['w'])
  _assert_frozen_for_two_steps(kernels)
