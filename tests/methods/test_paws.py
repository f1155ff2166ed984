"""PAWS's whole loss against loops in NumPy, and what must not change it."""

import functools

from hypothesis import given, settings, strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import base, paws_quickstart
from semppl_jax import methods
from semppl_jax.data.batch import Batch, Support
from semppl_jax.losses import nt_xent
from semppl_jax.methods import paws
from semppl_jax.methods.base import Inputs, MethodContext
from semppl_jax.models.network import make_network, Outputs
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.training import target_network
from tests.helpers import slow_paws

ROWS, DIM, CLASSES, IMAGES = 8, 5, 4, 2
_float64 = functools.partial(jax.tree.map, np.float64)


def _config(small=2, views=1, **fields):
  c = base.get_config()
  c.method, c.batch_size = 'paws', ROWS
  c.views.large.count, c.views.small.count = 2, small
  c.support.update(classes_per_batch=CLASSES, images_per_class=IMAGES)
  c.support.views = views
  c.paws.update(fields)
  return c


def _loss(config, devices=1):
  """`(online, batch) -> LossResult`, compiled, with the targets of a step."""
  mesh = mesh_lib.make_mesh(jax.devices()[:devices])
  method = paws.make(config, MethodContext(mesh, ROWS, 10 * ROWS))
  own = target_network.make_target(config, method).outputs

  def loss(online, batch):
    target = own(online, None, 2)
    result = method.loss(Inputs(online, target, batch, (), None, 0))
    return result.loss, result

  return jax.jit(jax.value_and_grad(loss, has_aux=True))


def _online(config, seed=0) -> Outputs:
  rng = np.random.default_rng(seed)

  def outputs(rows, views, support=None):
    draw = lambda: rng.normal(size=(rows, views, DIM)).astype(np.float32)
    prediction = draw() if config.paws.predictor else None
    return Outputs(None, draw(), prediction, support=support)

  labelled = outputs(CLASSES * IMAGES, config.support.views)
  return outputs(ROWS, 2 + config.views.small.count, labelled)


def _batch(column, classes, label, truth) -> Batch:
  """A batch without images; `classes` are those of the columns."""
  label, truth, column, classes = (
    np.asarray(x, np.int32) for x in (label, truth, column, classes)
  )
  none = np.zeros((len(label), 0), np.uint8)
  support = Support(none[:0], classes[column], column, column)
  return Batch(none, none, label, label, truth, support=support)


UNKNOWN, COLUMN = [-1] * ROWS, np.repeat(np.arange(CLASSES), IMAGES)
BATCH = _batch(COLUMN, [9, 2, 5, 3], UNKNOWN, UNKNOWN)


def _slow_slope(config, x, direction):
  """Slope of the loss by what is trained; the targets stay."""
  losses = []
  for step in (1e-5, -1e-5):
    moved = jax.tree.map(lambda a, b, t=step: a + t * b, x, direction)
    losses.append(slow_paws.loss(config, moved, x, COLUMN))
  return (losses[0] - losses[1]) / 2e-5


@pytest.mark.parametrize('change', [
    {},
    {'predictor': False},
    {'me_max': False},
    {'small': 0},
    {'views': 2},
    {'sharpening': 1.0},
    {'label_smoothing': 0.0},
    {'temperature': 0.5},
    {'predictor': False, 'views': 2, 'label_smoothing': 0.0},
    {'me_max': False, 'small': 0, 'sharpening': 1.0, 'views': 2},
], ids=str)  # fmt: skip
def test_value_and_gradient_are_those_of_the_paper(change):
  config = _config(**change)
  online = _online(config)
  (got, _), grads = _loss(config)(online, BATCH)
  x = _float64(online)
  want = slow_paws.loss(config, x, x, COLUMN)
  np.testing.assert_allclose(got, want, rtol=1e-5)
  # Along views and supports at once, and along the supports alone.
  along = _float64(_online(config, seed=1))
  none = jax.tree.map(np.zeros_like, along)
  for direction in (along, none._replace(support=along.support)):
    dots = jax.tree.leaves(jax.tree.map(np.vdot, _float64(grads), direction))
    slope = _slow_slope(config, x, direction)
    np.testing.assert_allclose(sum(dots), slope, rtol=1e-3)


@pytest.mark.parametrize('share', [0.8e-4, 1.25e-4])
def test_a_target_below_the_floor_is_zero(share):
  """A class of no probability costs much, if its target is on the floor."""
  config = _config(0, sharpening=1.0, label_smoothing=0.0, predictor=False)
  config.support.classes_per_batch = 2
  a = np.pi / 4 - np.arcsin(np.log(1 / share - 1) / 10 / np.sqrt(2))
  z = [[[np.cos(a), np.sin(a)], [1.0, -1.0]]]
  support = Outputs(None, np.eye(2)[:, None])
  online = Outputs(None, np.float32(z), support=support)
  (_, got), _ = _loss(config)(online, _batch([0, 1], [1, 0], [-1], [-1]))
  config.paws.me_max = False
  want = slow_paws.loss(config, _float64(online), _float64(online), [0, 1])
  np.testing.assert_allclose(got.metrics['loss/consistency'], want, rtol=1e-3)
  assert (want > 5e-4) == (share > 1e-4)


@pytest.mark.parametrize('predictor', [True, False])
def test_targets_take_no_gradient(predictor):
  """Neither by their views nor by their supports, however they were made."""
  config = _config(predictor=predictor)
  mesh = mesh_lib.make_mesh(jax.devices()[:1])
  method = paws.make(config, MethodContext(mesh, ROWS, ROWS))
  online = _online(config)

  def loss(online, target):
    return method.loss(Inputs(online, target, BATCH, (), None, 0)).loss

  large = jax.tree.map(lambda x: x[:, :2], online)
  own, fixed = jax.jit(jax.grad(loss, (0, 1)))(online, large)
  assert not any(x.any() for x in jax.tree.leaves(fixed))
  head = 'prediction' if predictor else 'projection'
  for rows in (own, own.support):
    assert np.all(np.any(getattr(rows, head), axis=-1))


def _assert_close(got, want, rtol):
  close = lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-5)
  jax.tree.map(close, got, want)


@pytest.fixture(scope='module')
def loss():
  return _loss(_config(views=2))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_names_of_columns_order_of_rows_and_lengths_change_nothing(loss, seed):
  config = _config(views=2)
  online, rng = _online(config, seed), np.random.default_rng(seed)
  (want, _), grads = loss(online, BATCH)
  named = rng.permutation(CLASSES)[COLUMN]
  rows = rng.permutation(len(COLUMN))
  moved = lambda tree: tree._replace(
    support=jax.tree.map(lambda x: x[rows], tree.support)
  )
  support = BATCH.support._replace(column=np.int32(named[rows]))
  (got, _), other = loss(moved(online), BATCH._replace(support=support))
  np.testing.assert_allclose(got, want, rtol=1e-5)
  _assert_close(moved(grads), other, 1e-3)
  length = lambda x: np.float32(np.exp(rng.normal(size=(*x.shape[:2], 1))))
  scaled = jax.tree.map(lambda x: x * length(x), online)
  (got, _), _ = loss(scaled, BATCH)
  np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.parametrize('devices', [2, 8])
def test_device_count_changes_no_number(loss, devices):
  config = _config(views=2)
  batch = BATCH._replace(diagnostic_label=np.arange(ROWS, dtype=np.int32))
  arguments = _online(config), batch
  rows = mesh_lib.sharded(mesh_lib.make_mesh(jax.devices()[:devices]))
  many = _loss(config, devices)(*jax.device_put(arguments, rows))
  _assert_close(loss(*arguments), many, 1e-4)


def test_metrics_of_a_case_by_hand():
  """Supports of classes 7 and 4 on the axes; the classes are no columns."""
  x, y, weak = (3.0, 0.0), (0.0, 1.0), (4.0, 3.0)
  # Both views of an image, its label and its class.
  first, second, label, truth = zip(
    (x, x, -1, 7),
    (x, x, -1, 4),  # Wrong.
    (y, y, -1, 4),
    (weak, y, -1, 4),  # The mean of both targets votes.
    (y, y, 7, 7),  # Wrong, and labelled.
    (y, y, -1, -1),  # Of no known class.
    strict=True,
  )
  config = _config(0, temperature=1.0, sharpening=0.5, label_smoothing=0.0)
  config.paws.predictor, config.support.classes_per_batch = False, 2
  support = Outputs(None, np.float32([[x], [y], [x], [y]]))
  views = np.stack([np.float32(first), np.float32(second)], axis=1)
  batch = _batch([0, 1, 0, 1], [7, 4], label, truth)
  online, run = Outputs(None, views, support=support), _loss(config)
  metrics = run(online, batch)[0][1].metrics
  sigmoid = lambda a: 1 / (1 + np.exp(-a))
  # On an axis the odds of the classes are e, and squared by the sharpening.
  confidence = (11 * sigmoid(2) + sigmoid(0.4)) / 12
  np.testing.assert_allclose(metrics['paws/confidence'], confidence, rtol=1e-5)
  assert metrics['pseudo/accuracy'] == 3 / 4
  (_, none), _ = run(online, batch._replace(label=batch.diagnostic_label))
  assert np.isnan(none.metrics['pseudo/accuracy'])


def test_diagnostics_are_of_the_projections_and_take_no_gradient():
  config = _config(views=2)
  online, run = _online(config), _loss(config)
  metrics = run(online, BATCH)[0][1].metrics
  views, rows = map(jnp.asarray, (online.projection, online.support.projection))
  label = jnp.repeat(BATCH.support.label, 2)
  for name, want in (
    ('nt_xent', nt_xent.nt_xent(views[:, :2], 0.1)),
    ('suncet', nt_xent.suncet(rows.reshape(-1, DIM), label, 0.1)),
  ):
    np.testing.assert_allclose(metrics[f'diagnostic/{name}'], want, rtol=1e-5)
  measured = ('diagnostic/nt_xent', 'diagnostic/suncet', 'paws/confidence')
  measured_sum = lambda o: sum(
    run(o, BATCH)[0][1].metrics[name] for name in measured
  )
  assert not any(
    x.any() for x in jax.tree.leaves(jax.grad(measured_sum)(online))
  )


def test_a_support_image_changes_the_embeddings_of_large_views_alone():
  config = paws_quickstart.get_config()
  method = methods.make(config, MethodContext(mesh_lib.make_mesh(), 4, 4))
  network = make_network(
    config.network, heads=method.heads, bn_groups=method.bn_groups
  )
  draw = np.random.default_rng(0).normal
  large, small, support = (
    draw(size=(4, views, 8, 8, 3)).astype(np.float32) for views in (2, 1, 1)
  )
  variables = network.init(jax.random.key(0), (large, small))
  apply = jax.jit(
    lambda s: network.apply(*variables, (large, small), True, s)[0].projection
  )
  one = apply(support)
  # A new array: a device of the CPU reads the old one in place, perhaps later.
  other = apply(support + (np.arange(4) == 0).reshape(-1, 1, 1, 1, 1))
  assert np.all(np.any(one[:, :2] != other[:, :2], axis=-1))
  np.testing.assert_array_equal(one[:, 2:], other[:, 2:])
