"""What SimCLR, SuNCEt, BYOL and ReLICv2 make of their embeddings."""

import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import base, quickstart
from semppl_jax import methods
from semppl_jax.config.constraints import RunDims
from semppl_jax.data.batch import Batch, Support
from semppl_jax.losses import nt_xent
from semppl_jax.methods.base import Inputs, Setting
from semppl_jax.models.network import Outputs
from semppl_jax.runtime import mesh as mesh_lib

ROWS, SUPPORTS, DIM, SMALL = 8, 12, 5, 2


def _config(method, small=0, **fields):
  c = base.get_config()
  c.method, c.batch_size = method, ROWS
  c.views.large.count, c.views.small.count = 2, small
  c.network.projector.output, c.network.precision = DIM, 'float32'
  c.semppl.queue = '16 rows'
  if fields:
    c[method].update(fields)
  return c


def _make(config):
  mesh = mesh_lib.make_mesh(jax.devices()[:1])
  return methods.make(config, Setting(mesh, ROWS, 10 * ROWS))


def _draw(rows, views, seed=0):
  shape = (rows, views, DIM)
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _classes(rows, seed=0):
  return np.random.default_rng(seed).integers(0, 3, rows).astype(np.int32)


def _batch() -> Batch:
  """Half of the rows are labelled; the supports have columns of their own."""
  truth, support = _classes(ROWS), _classes(SUPPORTS, 1)
  label = np.where(np.arange(ROWS) % 2, truth, -1).astype(np.int32)
  none, index = np.zeros((ROWS, 0), np.uint8), np.arange(ROWS, dtype=np.int32)
  beside = Support(none, support, np.zeros_like(support), support)
  return Batch(none, none, label, index, truth, support=beside)


def _loss(method):
  """`(online, target, step) -> (LossResult, gradients of both)`, compiled."""

  def loss(online, target, step):
    memory, key = method.init_memory(), jax.random.key(3)
    batch = jax.tree.map(jnp.asarray, _batch())
    inputs = Inputs(online, target, batch, memory, key, step)
    result = method.loss(inputs)
    return result.loss, result

  grad = jax.value_and_grad(loss, (0, 1), has_aux=True)

  @jax.jit
  def run(online, target=None, step=0):
    (_, result), grads = grad(online, target, jnp.asarray(step, jnp.int32))
    return result, grads

  return run


def _assert_zero(tree):
  assert not any(np.any(x) for x in jax.tree.leaves(tree))


@pytest.mark.parametrize('tau', [0.1, 0.7])
def test_simclr_is_nt_xent_of_the_projections(tau):
  z = _draw(ROWS, 2)
  run = _loss(_make(_config('simclr', temperature=tau)))
  result, (online, _) = run(Outputs(_draw(ROWS, 2, 1), projection=z))
  want, slope = jax.jit(jax.value_and_grad(nt_xent.nt_xent))(z, tau)
  np.testing.assert_allclose(result.loss, want, rtol=1e-6)
  np.testing.assert_allclose(online.projection, slope, rtol=1e-4, atol=1e-6)
  _assert_zero(online.features)


def _suncet(config):
  """The method on views and two views of each support, at any step."""
  supports = Outputs(None, projection=_draw(SUPPORTS, 2, 1))
  run = _loss(_make(config))
  own = config.suncet.labelled == 'support'
  online = Outputs(None, _draw(ROWS, 2), support=supports if own else None)
  return online, lambda step: run(online, None, step)


def _by_class(projection, label, tau):
  rows = projection.reshape(-1, DIM)
  return nt_xent.suncet(rows, np.repeat(label, 2), tau)


@pytest.mark.parametrize('weight', [1.0, 0.5, 0.0])
def test_suncet_stands_beside_nt_xent_and_then_falls_away(weight):
  config = _config('suncet', contrast_weight=weight, duration='3 steps')
  online, run = _suncet(config)
  contrast = weight * nt_xent.nt_xent(online.projection, 0.1)
  label = _batch().support.label
  by_class = _by_class(online.support.projection, label, 0.1)
  assert _make(config).support
  for step in (0, 2, 3, 9):
    # Alone it goes on, as there would be nothing else.
    early = step < 3 or not weight
    result, (grads, _) = run(step)
    want = contrast + (by_class if early else 0.0)
    np.testing.assert_allclose(result.loss, want, rtol=1e-6)
    rows = np.any(grads.support.projection, axis=-1)
    np.testing.assert_array_equal(rows, np.full(rows.shape, early))
    assert np.any(grads.projection) == bool(weight)


def test_suncet_may_take_the_labelled_rows_of_the_batch():
  """Rows without a label have no part in it."""
  config = _config('suncet', labelled='batch', contrast_weight=0.0)
  config.suncet.temperature = 0.3
  assert not _make(config).support
  online, run = _suncet(config)
  result, (grads, _) = run(0)
  label = _batch().label
  want = _by_class(online.projection[label >= 0], label[label >= 0], 0.3)
  np.testing.assert_allclose(result.loss, want, rtol=1e-5)
  moved = np.any(grads.projection, axis=(1, 2))
  np.testing.assert_array_equal(moved, label >= 0)


def _cosine(a, b):
  a, b = np.float64(a), np.float64(b)
  return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


@pytest.mark.parametrize('small', [0, SMALL])
def test_byol_predicts_the_targets_of_the_other_large_views(small):
  online = Outputs(
    _draw(ROWS, 2 + small), _draw(ROWS, 2 + small, 1), _draw(ROWS, 2 + small, 2)
  )
  target = Outputs(_draw(ROWS, 2, 3), projection=_draw(ROWS, 2, 4))
  method = _make(_config('byol', small))
  assert (method.target, method.bn_groups) == ('ema', 'view')
  result, (trained, fixed) = _loss(method)(online, target)
  each = [
    2 - 2 * _cosine(online.prediction[b, i], target.projection[b, j])
    for b in range(ROWS)
    for i in range(2 + small)
    for j in range(2)
    if i != j
  ]
  np.testing.assert_allclose(result.loss, sum(each) / ROWS, rtol=1e-5)
  assert np.all(np.any(trained.prediction, axis=-1))
  _assert_zero((fixed, trained.features, trained.projection))


@pytest.mark.parametrize('fields', [
    {'invariance': 'kl', 'negatives': 'shared'},
    {'invariance': 'kl', 'negatives': 'per_pair'},
    {'invariance': 'log_ratio', 'negatives': 'shared'},
    {'invariance': 'log_ratio', 'negatives': 'per_pair'},
    {'invariance': 'kl', 'include_same_view': False, 'temperature': 0.5},
], ids=str)  # fmt: skip
def test_relicv2_is_semppl_without_semantic_positives(fields):
  fields = {'num_negatives': 4, 'invariance_weight': 3.0, **fields}
  semppl = {'semantic_positives': False, **fields}
  online = Outputs(None, prediction=_draw(ROWS, 2 + SMALL))
  target = Outputs(None, projection=_draw(ROWS, 2, 1))
  (one, grads), (two, others) = (
    _loss(_make(_config(name, SMALL, **own)))(online, target)
    for name, own in (('relicv2', fields), ('semppl', semppl))
  )
  np.testing.assert_allclose(one.loss, two.loss, rtol=1e-6)
  chex.assert_trees_all_close(grads, others, rtol=1e-5, atol=1e-7)
  _assert_zero(grads[1])
  for name in one.metrics:
    np.testing.assert_allclose(
      one.metrics[name], two.metrics[name], rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize('method, change, sentence', [
    ('simclr', {'views.small.count': 2}, r'small\.count=2 must be 0 .*simclr'),
    ('simclr', {'views.large.count': 4}, r'large\.count=4 must be 2 .*simclr'),
    ('simclr', {'simclr.temperature': 0.0}, r'temperature=0\.0 .*above 0'),
    ('byol', {'views.large.count': 1}, r'large\.count=1 must be 2 or more'),
    ('suncet', {'views.large.count': 1}, r'large\.count=1 must be 2 .*suncet'),
    ('suncet', {'views.small.count': 1}, r'small\.count=1 must be 0 .*suncet'),
    ('suncet', {'suncet.contrast_weight': -1.0}, r'weight=-1\.0 .*least 0'),
    ('suncet', {'suncet.labelled': 'bach'}, r"labelled='bach' .*'batch'\?"),
    ('suncet', {'suncet.duration': '9'}, r"duration='9' is not a duration"),
    ('suncet', {'support.images_per_class': 3}, r'8 devices, and is 30'),
    (
      'suncet', {'suncet.labelled': 'batch', 'data.labelled_per_batch': 0},
      r"labelled='batch' must be 'support' where .*less than two labelled",
    ),
    ('relicv2', {'relicv2.num_negatives': 64}, r'negatives=64 .*batch_size=64'),
    ('relicv2', {'relicv2.invariance': 'k'}, r"invariance='k' .*'kl'\?"),
    ('relicv2', {'relicv2.negatives': 'pair'}, r"negatives='pair' .*'shared'"),
    (
      'relicv2', {'relicv2.include_same_view': False, 'views.large.count': 1},
      r'include_same_view=False must be True where there is one view',
    ),
], ids=str)  # fmt: skip
def test_what_cannot_be_is_one_sentence(method, change, sentence):
  config, dims = quickstart.get_config(), RunDims(8, 1, 6000, 10, 60)
  config.method = method
  config.support.update(classes_per_batch=10, images_per_class=4)
  assert [*methods.problems(config, dims)] == []
  config.update_from_flattened_dict(change)
  (found,) = methods.problems(config, dims)
  assert re.search(sentence, found), found


@pytest.mark.parametrize('change', [
    # Without NT-Xent there need be no second view.
    {'suncet.contrast_weight': 0.0, 'views.large.count': 1},
    # Nor a support that divides where the batch has the labels.
    {'suncet.labelled': 'batch', 'support.images_per_class': 3},
    # About six labels fall into a batch.
    {'suncet.labelled': 'batch', 'data.labelled_per_batch': 0},
], ids=str)  # fmt: skip
@pytest.mark.parametrize('known', [True, False], ids=['data', 'no data'])
def test_suncet_asks_for_no_more_than_it_uses(change, known):
  config = quickstart.get_config()
  config.method = 'suncet'
  config.support.update(classes_per_batch=10, images_per_class=4)
  config.update_from_flattened_dict(change)
  dims = RunDims(8, 1, *((6000, 10, 600) if known else (None, None, None)))
  assert [*methods.problems(config, dims)] == []
