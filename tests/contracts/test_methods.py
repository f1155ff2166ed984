"""Every law on every method of the table, on the one train step."""

import chex
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from configs import quickstart
from semppl_jax import lowering, mesh as mesh_lib, methods
from semppl_jax.batch import Batch
from semppl_jax.step import make_step
from semppl_jax.tools import collectives

ROWS, SIZE, CLASSES = 16, 8, 3


def _config(name: str) -> ml_collections.ConfigDict:
  c = quickstart.get_config()
  c.method = name
  c.batch_size = ROWS
  c.views.large.update(count=2, size=SIZE)
  c.views.small.update(count=1, size=SIZE)
  c.network.projector.update(hidden=16, output=8)
  c.network.predictor.hidden = 16
  c.semppl.update(queue='32 rows', k=1, num_negatives=4)
  c.optimizer.update(name='lars', learning_rate=1.0)
  c.network.classifier.classes = CLASSES
  return c


def _batch(mesh, seed: int = 0) -> Batch:
  rng = np.random.default_rng(seed)
  truth = rng.integers(0, CLASSES, ROWS).astype(np.int32)

  def crops(views):
    shape = (ROWS, views, SIZE, SIZE, 3)
    return rng.integers(0, 256, shape, dtype=np.uint8)

  return mesh_lib.to_global(
    mesh,
    Batch(
      large=crops(2),
      small=crops(1),
      label=np.where(rng.random(ROWS) < 0.6, truth, -1).astype(np.int32),
      index=np.arange(ROWS, dtype=np.int32) + seed * ROWS,
      diagnostic_label=truth,
    ),
  )


def _run(name, devices, steps, jit=True, traces=1):
  """States and metrics after each of some steps."""
  mesh = mesh_lib.make_mesh(jax.devices()[:devices])
  config = _config(name)
  step = make_step(config, methods.make(config, mesh), mesh, 10, 2)
  layout = step.state_sharding
  state = jax.jit(step.init, out_shardings=layout)()
  train = step.train
  if jit:
    counted = chex.assert_max_traces(step.train, n=traces)
    whole = mesh_lib.replicated(mesh)
    train = jax.jit(counted, out_shardings=(layout, whole))
  course = []
  for seed in range(steps):
    state, metrics = train(state, _batch(mesh, seed))
    course.append((state, metrics))
  return step, course


@pytest.fixture(scope='module', params=methods.NAMES)
def method(request):
  """A method's name, its step and some steps on one device, traced once.

  With a rate of 0 at the first, a classifier that starts at zero and a residual
  path that does, it takes five until a gradient has moved everything.
  """
  chex.clear_trace_counter()
  return request.param, *_run(request.param, 1, 5)


def test_steps_are_finite_and_change_the_network(method):
  _, step, course = method
  for state, metrics in course:
    assert all(np.isfinite(x) for x in jax.tree.leaves(metrics))
    assert state.dropped == 0
  start = jax.jit(step.init)().params
  moved = jax.tree.map(lambda a, b: bool((a != b).any()), start, state.params)
  assert all(jax.tree.leaves(moved))


def test_eight_devices_are_one(method):
  name, _, course = method
  _, many = _run(name, 8, 3)
  for (one, one_metrics), (other, other_metrics) in zip(
    course[:3], many, strict=True
  ):
    chex.assert_trees_all_close(
      jax.device_get(one.params),
      jax.device_get(other.params),
      rtol=2e-3,
      atol=1e-4,
    )
    chex.assert_trees_all_close(
      jax.device_get(one_metrics),
      jax.device_get(other_metrics),
      rtol=5e-3,
      atol=1e-4,
    )


def test_state_keeps_shapes_types_and_shardings(method):
  name, _, _ = method
  step, course = _run(name, 8, 1, traces=2)
  like = lowering.state_like(step)

  def same(want, got):
    assert (want.shape, want.dtype) == (got.shape, got.dtype)
    assert got.sharding.is_equivalent_to(want.sharding, got.ndim)

  jax.tree.map(same, like, course[-1][0])


@pytest.mark.slow
def test_no_step_gathers_the_memory(method):
  """Read from the program that the partitioner makes for eight devices."""
  name, _, _ = method
  config, mesh = _config(name), mesh_lib.make_mesh()
  config.semppl.queue, config.network.projector.output = '4096 rows', 64
  step = make_step(config, methods.make(config, mesh), mesh, 10, 2)
  state = lowering.state_like(step)
  lowered = lowering.lower(step, state, lowering.batch_like(config, mesh), mesh)
  moved = collectives.count(lowered.compile().as_text()).bytes
  held = sum(
    x.size * x.dtype.itemsize
    for x in jax.tree.leaves(state.memory)
    if not x.sharding.is_fully_replicated
  )
  for kind in ('all-gather', 'all-to-all', 'collective-permute'):
    assert not held or moved.get(kind, 0) < held / 4, (kind, moved)


def test_compiled_is_as_written(method):
  """The loss op by op, without a compiler in between, is the compiled one."""
  name, step, _ = method
  mesh = mesh_lib.make_mesh(jax.devices()[:1])
  built = methods.make(_config(name), mesh)
  state, batch = jax.jit(step.init)(), _batch(mesh)
  views = tuple(
    x.astype(jnp.float32) / 255.0 for x in (batch.large, batch.small)
  )
  online, _ = jax.jit(step.network.apply, static_argnums=3)(
    state.params, state.net_state, views, True
  )
  target = jax.tree.map(lambda x: x[:, :2], online)
  arguments = (online, target, batch, state.memory, jax.random.key(0))
  compiled = jax.jit(built.loss)(*arguments)
  written = built.loss(*arguments)
  chex.assert_trees_all_close(
    jax.device_get(compiled), jax.device_get(written), rtol=1e-5, atol=1e-5
  )


def test_targets_take_no_gradient(method):
  name, step, _ = method
  mesh = mesh_lib.make_mesh(jax.devices()[:1])
  state = jax.jit(step.init)()
  if state.target_params == ():
    assert methods.make(_config(name), mesh).target != 'ema'
    return

  def loss(target_params):
    moved = state._replace(target_params=target_params)
    return step.train(moved, _batch(mesh))[1]['loss/total']

  grads = jax.jit(jax.grad(loss))(state.target_params)
  assert all(not g.any() for g in jax.tree.leaves(grads))


def test_the_target_is_a_moving_average(method):
  name, step, course = method
  if course[0][0].target_params == ():
    return
  decay = _config(name).ema.decay
  before = jax.jit(step.init)().target_params
  after = course[0][0]

  def check(path, old, new):
    module, leaf = path[0].key, path[1].key
    online = after.params[module][leaf]
    np.testing.assert_allclose(
      new, decay * old + (1 - decay) * online, rtol=1e-4, atol=1e-6
    )

  jax.tree_util.tree_map_with_path(check, before, after.target_params)


def test_true_labels_of_unlabelled_rows_change_nothing(method):
  """Neither gradient, queue, vote nor average; one diagnostic may differ."""
  _, step, _ = method
  train = jax.jit(step.train)
  mesh = mesh_lib.make_mesh(jax.devices()[:1])
  # With rows in the memory, so that there are votes to change.
  state, _ = train(jax.jit(step.init)(), _batch(mesh))
  batch = _batch(mesh, 1)
  truth = batch.diagnostic_label
  hidden = batch._replace(
    diagnostic_label=jnp.where(batch.label < 0, CLASSES - 1 - truth, truth)
  )
  assert (hidden.diagnostic_label != truth).any()
  one, one_metrics = train(state, batch)
  two, two_metrics = train(state, hidden)
  chex.assert_trees_all_equal(jax.device_get(one), jax.device_get(two))
  differing = {k for k, v in one_metrics.items() if v != two_metrics[k]}
  assert differing <= {'pseudo/accuracy'}


def test_a_nonfinite_batch_changes_nothing(method):
  """Under 'stop' the state of the offending step stays, whatever follows."""
  name, _, _ = method
  mesh = mesh_lib.make_mesh(jax.devices()[:1])
  config = _config(name)
  step = make_step(config, methods.make(config, mesh), mesh, 10, 2)
  broken = jax.jit(step.init)()
  broken = broken._replace(
    params=jax.tree.map(lambda x: x * jnp.float32(np.nan), broken.params)
  )
  train = jax.jit(step.train)
  state, metrics = train(broken, _batch(mesh))
  assert not np.isfinite(metrics['loss/total'])
  assert (state.dropped, state.step) == (1, 0)
  again, _ = train(state, _batch(mesh, 1))
  assert (again.dropped, again.step) == (2, 0)
  chex.assert_trees_all_equal(
    jax.device_get(again.memory), jax.device_get(broken.memory)
  )
