"""SemPPL's loss against plain NumPy loops, and its laws."""

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from configs import base
from semppl_jax.data.batch import Batch
from semppl_jax.methods import memory_bank as memory_bank_lib, semppl
from semppl_jax.methods.base import Inputs, MethodContext
from semppl_jax.models.network import Outputs
from semppl_jax.runtime import mesh as mesh_lib
from tests.helpers import slow_semppl

ROWS, LARGE, SMALL, DIM = 16, 2, 1, 6
_push = jax.jit(memory_bank_lib.push, static_argnames='mesh')


def _config(**overrides) -> ml_collections.ConfigDict:
  c = base.get_config()
  c.batch_size = ROWS
  c.views.large.count, c.views.small.count = LARGE, SMALL
  c.network.projector.output = DIM
  c.network.precision = 'float32'
  c.semppl.update(queue='32 rows', num_negatives=5, num_positives=2)
  c.semppl.update(overrides)
  return c


def _mesh(devices=1):
  return mesh_lib.make_mesh(jax.devices()[:devices])


def _make(config, mesh):
  return semppl.make(config, MethodContext(mesh, ROWS, 10 * ROWS))


def _inputs(config, seed=0, collapsed=False):
  """Outputs and batch of one step; every seed brings half of the images."""
  rng = np.random.default_rng(seed)
  large, small = config.views.large.count, config.views.small.count

  def draw(views):
    shape = (ROWS, views, DIM)
    x = np.ones(shape) if collapsed else rng.normal(size=shape)
    return jnp.asarray(x, jnp.float32)

  online = Outputs(None, projection=None, prediction=draw(large + small))
  target = Outputs(None, projection=draw(large), prediction=None)
  truth = rng.integers(0, 3, ROWS).astype(np.int32)
  label = np.where(rng.random(ROWS) < 0.5, truth, -1).astype(np.int32)
  empty = np.zeros((ROWS, 0, 1, 1, 3), np.uint8)
  batch = Batch(
      large=empty, small=empty, label=jnp.asarray(label),
      index=jnp.arange(ROWS, dtype=jnp.int32) + ROWS // 2 * seed,
      diagnostic_label=jnp.asarray(truth),
  )  # fmt: skip
  return online, target, batch


def _memory(config, method, batches, mesh):
  """A queue that has seen some earlier batches."""
  queue = jax.jit(method.init_memory, out_shardings=method.memory_sharding)()
  for seed in range(1, batches + 1):
    _, target, batch = _inputs(config, seed)
    unit = jnp.asarray(slow_semppl.unit(target.projection), jnp.float32)
    queue = _push(queue, unit, batch.label, batch.index, mesh)
  return queue


def _slow_inputs(
  config, key, online, target, batch, queue
) -> slow_semppl.LossInputs:
  """The same step as the slow version sees it."""
  unit = slow_semppl.unit(target.projection).astype(np.float32)
  rounded = jnp.asarray(unit, config.network.precision)
  return slow_semppl.LossInputs(
      np.asarray(online.prediction), np.asarray(rounded.astype(jnp.float32)),
      batch, queue, key, _mesh(),
  )  # fmt: skip


def _both_losses(config, batches=3, change=lambda batch: batch):
  """The loss of the method and that of the slow version."""
  mesh, key = _mesh(), jax.random.key(7)
  method = _make(config, mesh)
  online, target, batch = _inputs(config)
  batch = change(batch)
  memory = _memory(config, method, batches, mesh)
  got = jax.jit(method.loss)(Inputs(online, target, batch, memory, key, 0))
  inputs = _slow_inputs(config, key, online, target, batch, got.memory)
  return got, slow_semppl.loss(config, inputs)


@pytest.mark.parametrize('overrides', [
    {},
    {'invariance': 'kl', 'include_same_view': False},
    {'negatives': 'per_pair', 'invariance_weight': 0.0},
    {'negatives': 'per_pair', 'invariance': 'kl', 'semantic_positives': False},
    {'pseudo_labels': 'none'},
    {'pseudo_labels': 'oracle', 'semantic_weight': 0.0, 'num_positives': 1},
    {'k': 3, 'tie': 'smallest_class'},
    {'k': 5, 'vote_views': 'single', 'exclude_self': False},
], ids=str)  # fmt: skip
def test_loss_is_that_of_the_equations(overrides):
  got, want = _both_losses(_config(**overrides))
  np.testing.assert_allclose(got.loss, want, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize('large,small', [(1, 2), (2, 0), (3, 2)])
def test_loss_with_other_views(large, small):
  config = _config(invariance='kl')
  config.views.large.count, config.views.small.count = large, small
  got, want = _both_losses(config)
  np.testing.assert_allclose(got.loss, want, rtol=2e-5, atol=1e-6)


def test_loss_in_bfloat16():
  """Targets and queue are rounded, as the slow version's; sums are not."""
  config = _config(k=3)
  config.network.precision = 'bfloat16'
  got, want = _both_losses(config)
  assert got.memory.embedding.dtype == jnp.bfloat16
  assert got.loss.dtype == jnp.float32
  np.testing.assert_allclose(got.loss, want, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize(
  ('labelled', 'batches'), [(0, 0), (1, 0), (0, 3), (ROWS, 3)]
)
def test_loss_with_any_number_of_labelled_rows(labelled, batches):
  def change(batch):
    known = jnp.arange(ROWS) < labelled
    return batch._replace(label=jnp.where(known, batch.diagnostic_label, -1))

  got, want = _both_losses(_config(), batches, change)
  np.testing.assert_allclose(got.loss, want, rtol=2e-5, atol=1e-6)
  if labelled == batches == 0:
    assert got.metrics['semantic/anchors'] == 0
    assert got.metrics['pseudo/coverage'] == 0


@pytest.mark.parametrize(
  ('invariance', 'drawn'), [('log_ratio', 'per_pair'), ('kl', 'shared')]
)
def test_collapsed_embedding_has_the_known_loss(invariance, drawn):
  config = _config(invariance=invariance, negatives=drawn, num_negatives=10)
  method = _make(config, _mesh())
  online, target, batch = _inputs(config, collapsed=True)
  queue = jax.jit(method.init_memory)()
  result = jax.jit(method.loss)(
    Inputs(online, target, batch, queue, jax.random.key(0), 0)
  )
  # 0.3 x 1.2 x log 11; some label has two images, so positives exist.
  np.testing.assert_allclose(result.loss, 0.8632, atol=1e-4)
  assert abs(result.metrics['loss/invariance_augmentation']) < 1e-6
  assert abs(result.metrics['loss/invariance_semantic']) < 1e-6


def _loss_of_prediction(config):
  """The loss as a function of predictions and targets, and what goes in."""
  mesh, key = _mesh(), jax.random.key(3)
  method = _make(config, mesh)
  online, target, batch = _inputs(config)
  memory = _memory(config, method, 2, mesh)

  @jax.jit
  def value(prediction, projection):
    return method.loss(
      Inputs(
          online._replace(prediction=prediction),
          target._replace(projection=projection), batch, memory, key, 0,
      )
    )  # fmt: skip

  result = value(online.prediction, target.projection)
  inputs = _slow_inputs(config, key, online, target, batch, result.memory)
  return value, online.prediction, target.projection, inputs


@pytest.mark.parametrize('overrides', [
    {'invariance': 'kl'},
    {'invariance': 'log_ratio', 'negatives': 'per_pair'},
    {'invariance': 'log_ratio', 'include_same_view': False},
], ids=str)  # fmt: skip
def test_gradient_is_that_of_the_trained_side(overrides):
  """Against finite differences of the loss with its stopped side frozen."""
  # Votes that change within the difference would be a step, not a slope.
  config = _config(pseudo_labels='none', **overrides)
  value, x, target, inputs = _loss_of_prediction(config)
  grad = jax.grad(lambda x: value(x, target).loss)(x)
  direction = np.random.default_rng(5).normal(size=x.shape)
  step = 1e-5

  def frozen(at):
    moved = inputs._replace(online=np.asarray(x, np.float64) + at * direction)
    return slow_semppl.loss(config, moved, frozen=x)

  slope = (frozen(step) - frozen(-step)) / (2 * step)
  np.testing.assert_allclose(
    np.sum(np.asarray(grad) * direction), slope, rtol=1e-4
  )


def test_targets_take_no_gradient():
  value, x, target, _ = _loss_of_prediction(_config())
  grad = jax.grad(lambda t: value(x, t).loss)(target)
  np.testing.assert_array_equal(grad, np.zeros_like(grad))


def test_device_count_changes_no_number():
  config = _config(k=2)
  online, target, batch = _inputs(config)

  def run(devices):
    mesh = _mesh(devices)
    method = _make(config, mesh)
    memory = _memory(config, method, 3, mesh)
    rows = mesh_lib.sharded(mesh)
    place = lambda tree: jax.tree.map(lambda x: jax.device_put(x, rows), tree)
    key = jax.random.key(1)
    return jax.jit(method.loss)(
      Inputs(place(online), place(target), place(batch), memory, key, 0)
    )

  one, many = run(1), run(8)
  np.testing.assert_allclose(one.loss, many.loss, rtol=1e-6)
  for a, b in zip(one.memory, many.memory, strict=True):
    np.testing.assert_array_equal(a, b)
  for name, value in one.metrics.items():
    np.testing.assert_allclose(value, many.metrics[name], rtol=1e-5, atol=1e-7)
