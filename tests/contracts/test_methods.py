"""Every law on every method of the table, on the one train step."""

import dataclasses
import functools
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from configs import quickstart
from semppl_jax import methods
from semppl_jax.config.constraints import RunDims
from semppl_jax.data.batch import Batch, Support
from semppl_jax.methods.base import Inputs, Method, MethodContext
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.tools.compile import hlo_collectives
from semppl_jax.training import aot
from semppl_jax.training.train_step import make_train_step, TrainStep

ROWS, SIZE, CLASSES = 16, 8, 3
COLUMNS, IMAGES = 2, 8
SLOW = pytest.mark.slow
# A queue, a support batch, prototypes: all else is like one of them.
CORE = ('semppl', 'paws', 'swav')
DIMS = RunDims(1, 1, None, None, None)


def _config(name: str) -> ml_collections.ConfigDict:
  c = quickstart.get_config()
  c.method = name
  c.batch_size = ROWS
  c.views.large.update(count=2, size=SIZE)
  c.views.small.update(count=1, size=SIZE)
  c.network.projector.update(hidden=16, output=8)
  c.network.predictor.hidden = 16
  c.semppl.update(queue='32 rows', k=1, num_negatives=4)
  # Steps so large, and a target so quick, that either would be missed.
  rule = 'lars_paws' if name == 'paws' else 'lars'
  c.optimizer.update(name=rule, learning_rate=1.0, trust_coefficient=0.02)
  c.ema.decay = 0.5
  c.network.classifier.classes = CLASSES
  c.network.prototypes = 6
  c.support.update(classes_per_batch=COLUMNS, images_per_class=IMAGES)
  c.swav.update(queue='24 rows', queue_from='2 steps', freeze='1 steps')
  # Some have no use for small views, and say so.
  if any('views.small.count' in x for x in methods.problems(c, DIMS)):
    c.views.small.count = 0
  return c


def _make(config, mesh, steps=10):
  """The step of a config and its method."""
  method = methods.make(config, MethodContext(mesh, ROWS, 10 * ROWS))
  return make_train_step(config, method, mesh, steps, 2), method


def _support(rng) -> Support:
  column = np.repeat(np.arange(COLUMNS), IMAGES).astype(np.int32)
  classes = rng.permutation(CLASSES)[:COLUMNS].astype(np.int32)
  shape = (COLUMNS * IMAGES, 1, SIZE, SIZE, 3)
  return Support(
    large=rng.integers(0, 256, shape, dtype=np.uint8),
    label=classes[column],
    column=column,
    index=np.arange(COLUMNS * IMAGES, dtype=np.int32),
  )


def _batch(config, mesh, seed: int = 0) -> Batch:
  rng = np.random.default_rng(seed)
  truth = rng.integers(0, CLASSES, ROWS).astype(np.int32)
  _, method = _make(config, mesh)

  def crops(views):
    shape = (ROWS, views, SIZE, SIZE, 3)
    return rng.integers(0, 256, shape, dtype=np.uint8)

  return mesh_lib.to_global(
    mesh,
    Batch(
      large=crops(2),
      small=crops(config.views.small.count),
      label=np.where(rng.random(ROWS) < 0.6, truth, -1).astype(np.int32),
      index=np.arange(ROWS, dtype=np.int32) + seed * ROWS,
      diagnostic_label=truth,
      support=_support(rng) if method.support else None,
    ),
  )


class Run(NamedTuple):
  """Some steps of a method, and what they were taken with."""

  config: ml_collections.ConfigDict
  mesh: jax.sharding.Mesh
  method: Method
  step: TrainStep
  train: Any
  start: Any
  course: list


def _run(name, devices, steps, start=None, **fields) -> Run:
  """States and metrics after each of some steps."""
  mesh = mesh_lib.make_mesh(jax.devices()[:devices])
  config = _config(name)
  config.update(fields)
  step, method = _make(config, mesh)
  layout = step.state_sharding
  if start is None:
    start = jax.jit(step.init, out_shardings=layout)()
  start = state = jax.device_put(jax.device_get(start), layout)
  chex.clear_trace_counter()
  counted = chex.assert_max_traces(step.train, n=1)
  whole = mesh_lib.replicated(mesh)
  train = jax.jit(counted, out_shardings=(layout, whole))
  course = []
  for seed in range(steps):
    state, metrics = train(state, _batch(config, mesh, seed))
    course.append((state, metrics))
  return Run(config, mesh, method, step, train, start, course)


@functools.cache
def _run_of_one(name) -> Run:
  return _run(name, 1, 5)


@pytest.fixture(
  scope='module',
  params=[
    pytest.param(name, marks=() if name in CORE else SLOW)
    for name in methods.NAMES
  ],
)
def run(request):
  """Some steps of a method on one device, traced once.

  With a rate of 0 at the first, a classifier that starts at zero and a residual
  path that does, it takes five until a gradient has moved everything.
  """
  return _run_of_one(request.param)


def test_steps_are_finite_and_change_the_network(run):
  for state, metrics in run.course:
    chex.assert_tree_all_finite(metrics)
    assert state.dropped == 0
  moved = jax.tree.map(
    lambda a, b: bool((a != b).any()), run.start.params, state.params
  )
  assert all(jax.tree.leaves(moved))


def _assert_close(one: Run, many: Run):
  for (state, metrics), (other, other_metrics) in zip(
    one.course, many.course, strict=False
  ):
    # The probe's Adam makes whole steps of the rounding of a zero gradient.
    chex.assert_trees_all_close(
      *(
        jax.device_get(x._replace(opt_state=(), probe=()))
        for x in (state, other)
      ),
      rtol=2e-3,
      atol=1e-4,
    )
    chex.assert_trees_all_close(
      jax.device_get(metrics),
      jax.device_get(other_metrics),
      rtol=5e-3,
      atol=1e-4,
    )


def _by_method(names, devices, marks=()):
  """Cases of `run` and a number of devices."""
  return [pytest.param(name, devices, marks=marks) for name in names]


@pytest.mark.parametrize(
  ('run', 'devices'),
  _by_method(CORE, 8)
  + _by_method(sorted({*methods.NAMES} - {*CORE}), 8, SLOW)
  + _by_method(CORE, 2, SLOW),
  indirect=['run'],
)
def test_many_devices_are_one_and_keep_the_layout(run, devices):
  """Shapes, types and shardings of the state, and every number."""
  many = _run(run.config.method, devices, 3, start=run.start)
  _assert_close(run, many)

  def same(want, got):
    assert (want.shape, want.dtype) == (got.shape, got.dtype)
    assert got.sharding.is_equivalent_to(want.sharding, got.ndim)

  like = aot.abstract_state(many.step)
  jax.tree.map(same, like, many.course[-1][0])


@SLOW
@pytest.mark.parametrize('run', [*CORE, 'simclr'], indirect=True)
def test_in_parts_eight_devices_are_one(run):
  name = run.config.method
  one, many = (
    _run(name, devices, 3, start=run.start, accumulate=2) for devices in (1, 8)
  )
  _assert_close(one, many)


@SLOW
@pytest.mark.parametrize('name', ['semppl', 'paws'])
def test_what_is_recorded_of_rows_is_not_exchanged(name):
  """The partitioner's program has no collective more for it."""

  def exchanges(change):
    config, mesh = _config(name), mesh_lib.make_mesh()
    method = methods.make(config, MethodContext(mesh, ROWS, 10 * ROWS))
    loss = method.loss
    method = dataclasses.replace(method, loss=lambda x: change(loss(x)))
    step = make_train_step(config, method, mesh, 10, 2)
    batch = aot.abstract_batch(config, mesh, method.support)
    lowered = aot.lower(step, aot.abstract_state(step), batch)
    return hlo_collectives.count(lowered.compile().as_text())

  without = exchanges(lambda result: result._replace(pseudo_labels=None))
  recorded = exchanges(lambda result: result)
  assert recorded.count == without.count
  assert sum(recorded.bytes.values()) <= sum(without.bytes.values())


@SLOW
@pytest.mark.parametrize('run', ['semppl'], indirect=True)
def test_no_step_gathers_the_memory(run):
  """Read from the program that the partitioner makes for eight devices."""
  config, mesh = _config(run.config.method), mesh_lib.make_mesh()
  config.semppl.queue, config.network.projector.output = '4096 rows', 64
  step, method = _make(config, mesh)
  state = aot.abstract_state(step)
  batch = aot.abstract_batch(config, mesh, method.support)
  lowered = aot.lower(step, state, batch)
  moved = hlo_collectives.count(lowered.compile().as_text()).bytes
  held = sum(
    x.size * x.dtype.itemsize
    for x in jax.tree.leaves(state.memory)
    if not x.sharding.is_fully_replicated
  )
  for kind in ('all-gather', 'all-to-all', 'collective-permute'):
    assert moved.get(kind, 0) < held / 4, (kind, moved)


def _unit(x):
  return x.astype(jnp.float32) / 255.0


@pytest.fixture(scope='module')
def inputs(run):
  """Arguments of the loss on a batch, from the network at its start."""
  state, batch = run.start, _batch(run.config, run.mesh)
  online, _ = jax.jit(run.step.network.apply, static_argnums=3)(
    state.params,
    state.net_state,
    (_unit(batch.large), _unit(batch.small)),
    True,
    _unit(batch.support.large) if run.method.support else None,
  )
  return Inputs(
      online, jax.tree.map(lambda x: x[:, :2], online), batch, state.memory,
      jax.random.key(0), jnp.int32(3), state.params,
  )  # fmt: skip


def test_targets_take_no_gradient(run, inputs):
  if run.start.target_params == ():
    assert run.method.target != 'ema'
    return
  target, large = run.step.target, _unit(inputs.batch.large)

  def loss(target_params):
    outputs, _ = target.forward(target_params, run.start.target_state, large)
    targets = target.outputs(inputs.online, outputs, large.shape[1])
    return run.method.loss(inputs._replace(target=targets)).loss

  grads = jax.jit(jax.grad(loss))(run.start.target_params)
  assert all(not g.any() for g in jax.tree.leaves(grads))


def test_the_target_is_a_moving_average(run):
  if run.start.target_params == ():
    return
  decay = run.config.ema.decay
  (before, _), (after, _) = run.course[-2:]

  def check(path, old, new):
    module, leaf = path[0].key, path[1].key
    online = after.params[module][leaf]
    assert (online != old).any()
    np.testing.assert_allclose(
      new, decay * old + (1 - decay) * online, rtol=1e-4, atol=1e-6
    )

  jax.tree_util.tree_map_with_path(
    check, before.target_params, after.target_params
  )


def test_true_labels_of_unlabelled_rows_change_nothing(run):
  """Neither gradient, queue, vote nor average; one diagnostic may differ."""
  # With rows in the memory, so that there are votes to change.
  state, _ = run.course[0]
  batch = _batch(run.config, run.mesh, 1)
  truth = batch.diagnostic_label
  hidden = batch._replace(
    diagnostic_label=jnp.where(batch.label < 0, CLASSES - 1 - truth, truth)
  )
  assert (hidden.diagnostic_label != truth).any()
  one, one_metrics = run.train(state, batch)
  two, two_metrics = run.train(state, hidden)
  chex.assert_trees_all_equal(jax.device_get(one), jax.device_get(two))
  differing = {k for k, v in one_metrics.items() if (v != two_metrics[k]).any()}
  assert differing <= {'pseudo/accuracy', 'rows/true'}


def test_a_nonfinite_batch_changes_nothing(run):
  """Under 'stop' the state of the offending step stays, whatever follows."""
  broken = run.start._replace(
    params=jax.tree.map(lambda x: x * jnp.float32(np.nan), run.start.params)
  )
  state, metrics = run.train(broken, _batch(run.config, run.mesh))
  assert not np.isfinite(metrics['loss/total'])
  assert (state.dropped, state.step) == (1, 0)
  again, _ = run.train(state, _batch(run.config, run.mesh, 1))
  assert (again.dropped, again.step) == (2, 0)
  chex.assert_trees_all_equal(
    jax.device_get(again.memory), jax.device_get(broken.memory)
  )
