"""Accumulated gradients against one of the whole batch, written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import quickstart
from semppl_jax import methods
from semppl_jax.data import batch_layout
from semppl_jax.data.batch import Batch, Support
from semppl_jax.methods.base import MethodContext
from semppl_jax.models.network import Outputs
from semppl_jax.optim import schedules
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.tools.compile import hlo_collectives
from semppl_jax.training import aot, config_checks
from semppl_jax.training.grad_cache import (
  Forward,
  GradResult,
  microbatch_index,
)
from semppl_jax.training.train_step import make_train_step, make_value_and_grad

ROWS, PIXELS, WIDTH, DIM = 16, (8, 8, 3), 12, 3


def _draw(*shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _batch(rows=ROWS, supports=8) -> Batch:
  label = np.arange(rows, dtype=np.int32)
  support = Support(
    _draw(supports, 1, *PIXELS, seed=1), *[label[:supports]] * 3
  )
  large, small = _draw(rows, 2, *PIXELS), _draw(rows, 0, *PIXELS)
  return Batch(large, small, label, label, label, support=support)


def _params(seed=0):
  size = int(np.prod(PIXELS))
  first, last = _draw(size, WIDTH, seed=seed), _draw(WIDTH, DIM, seed=seed + 1)
  return {'first': first / np.sqrt(size), 'last': last / np.sqrt(WIDTH)}


def _mlp(params, x, normalize=True):
  """Embeddings [N, V, D] and a state; rows are normalised by all of them."""
  h = x.reshape(*x.shape[:2], -1) @ params['first']
  mean, deviation = jnp.mean(h, (0, 1)), jnp.std(h, (0, 1))
  if normalize:
    h = (h - mean[None, None]) / (deviation[None, None] + 0.1)
  return jnp.tanh(h) @ params['last'], {'mean': mean, 'counter': jnp.int32(5)}


def _loss(online: Outputs, forwarded: Outputs):
  """Each row against the targets of all rows, among these and the supports."""
  outputs = online, forwarded, online.support
  rows, fixed, beside = (x.projection.reshape(-1, DIM) for x in outputs)
  logs = jax.nn.log_softmax(rows @ jnp.concatenate([fixed, beside]).T)
  return -jnp.mean(jnp.diag(logs)) + jnp.log(jnp.sum(rows**2)), {'logs': logs}


def _make_forward(normalize=True):
  def forward(params, batch, key):
    del key
    z, state = _mlp(params, batch.large, normalize)
    s, _ = _mlp(params, batch.support.large, normalize)
    fixed, target_state = _mlp(_params(7), batch.large, normalize)
    return Forward(
      Outputs(2 * z, z, support=Outputs(2 * s, s)),
      Outputs(3 * fixed, fixed),
      state,
      target_state,
    )

  return forward


def _run(parts, forward):
  run = jax.jit(lambda *args: make_value_and_grad(parts)(forward, _loss, *args))
  return run(_params(), _batch(), jax.random.key(0))


def _assert_close(got, want, rtol=1e-5):
  assert jax.tree.structure(got) == jax.tree.structure(want)
  close = lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-6)
  jax.tree.map(close, got, want)


def _written_out(parts, batch) -> GradResult:
  """The same without a loop."""

  def rows_of(i, rows):
    return np.flatnonzero(microbatch_index(rows, parts) == i)

  pieces = [
    jax.tree.map(lambda x, i=i: x[rows_of(i, len(x))], batch)
    for i in range(parts)
  ]

  def joined(*made):
    place = [rows_of(i, parts * len(x)) for i, x in enumerate(made)]
    return jnp.concatenate(made)[np.argsort(np.concatenate(place))]

  def mean(states):
    return {**states[0], 'mean': sum(x['mean'] for x in states) / parts}

  def forward(params):
    made = [_make_forward()(params, piece, None) for piece in pieces]
    return Forward(
      jax.tree.map(joined, *(x.online for x in made)),
      jax.tree.map(joined, *(x.target for x in made)),
      mean([x.net_state for x in made]),
      mean([x.target_state for x in made]),
    )

  def loss(params):
    outputs = forward(params)
    value, aux = _loss(outputs.online, outputs.target)
    return value, (aux, outputs)

  (value, (aux, outputs)), grads = jax.value_and_grad(loss, has_aux=True)(
    _params()
  )
  return GradResult(value, aux, grads, outputs)


@pytest.mark.parametrize('parts', [1, 2, 4])
def test_microbatches_are_the_composed_function(parts):
  """Loss, auxiliary result, outputs, gradient and both states."""
  got = _run(parts, _make_forward())
  want = jax.jit(lambda: _written_out(parts, _batch()))()
  _assert_close(got, want)
  assert got.forward.net_state['counter'].dtype == jnp.int32


@pytest.mark.parametrize('parts', [2, 3, 4, 8])
def test_parts_have_one_row_of_each_group_of_neighbours(parts):
  part = microbatch_index(24 * parts, parts).reshape(-1, parts)
  np.testing.assert_array_equal(np.sort(part), [range(parts)] * 24)


@pytest.mark.parametrize('labelled', [1, 4, 16, 32, 48])
@pytest.mark.parametrize('parts', [2, 4, 8])
def test_parts_share_the_labelled_rows(labelled, parts):
  """`data.labelled_per_batch` spreads them evenly over the batch."""
  known = np.arange(1000) < 100
  place = batch_layout.streams(64, labelled, known)[0].positions
  found = np.bincount(microbatch_index(64, parts)[place], minlength=parts)
  assert found.sum() == labelled
  assert found.max() - found.min() <= 1 + labelled // 16


@pytest.mark.parametrize('parts', [2, 4, 8])
def test_a_network_that_sees_each_row_alone_gives_the_same_in_parts(parts):
  forward = _make_forward(normalize=False)
  got, want = _run(parts, forward), _run(1, forward)
  _assert_close(got, want, rtol=1e-6)


def test_each_microbatch_is_augmented_alike_in_both_passes():
  def forward(params, batch, key):
    noise = jax.random.normal(key, batch.large.shape)
    return Forward(Outputs(params['scale'] * noise[..., 0, 0, 0]), None, (), ())

  def loss(online, target):
    del target
    return jnp.sum(online.features**2) / 2, ()

  # The slope of half the squares by a factor of 1 is their sum, if the second
  # pass draws the noise of the first.
  run = jax.jit(
    lambda key: make_value_and_grad(4)(
      forward, loss, {'scale': 1.0}, _batch(), key
    )
  )
  got, other = (run(jax.random.key(seed)) for seed in (0, 1))
  values = np.asarray(got.forward.online.features)
  np.testing.assert_allclose(got.grads['scale'], np.sum(values**2), rtol=1e-5)
  drawn = [*values.ravel(), *other.forward.online.features.ravel()]
  assert len(np.unique(drawn)) == 2 * values.size


def _compiled(parts, forward, loss, rows, devices):
  """Of a batch over the devices, from shapes alone."""
  mesh = mesh_lib.make_mesh(jax.devices()[:devices])
  like = lambda tree, sharding: jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree
  )
  params = like(_params(), mesh_lib.replicated(mesh))
  batch = like(_batch(rows, rows), mesh_lib.sharded(mesh))
  run = jax.jit(lambda *args: make_value_and_grad(parts)(forward, loss, *args))
  return run.lower(params, batch, jax.random.key(0)).compile()


def test_parts_move_no_more_between_devices_than_one_pass():
  """Embeddings, which the loss compares, and not images."""
  rows, kinds = 64, ('all-gather', 'all-to-all', 'collective-permute')
  one, four = (
    hlo_collectives.count(
      _compiled(parts, _make_forward(), _loss, rows, 8).as_text()
    ).bytes
    for parts in (1, 4)
  )
  images_of_a_device = rows // 8 * 3 * int(np.prod(PIXELS)) * 4
  for kind in kinds:
    assert four.get(kind, 0) <= one.get(kind, 0) < images_of_a_device / 2, kind


def test_four_parts_need_less_memory_than_one():
  """Of a deep network with small outputs, as all encoders are."""

  def forward(params, batch, key):
    del key
    x = batch.large.reshape(-1, int(np.prod(PIXELS)))
    for _ in range(16):
      x = jnp.tanh(x @ params['first'] @ params['first'].T)
    return Forward(Outputs(x @ params['first'] @ params['last']), None, (), ())

  def loss(online, target):
    del target
    return jnp.sum(online.features**2), ()

  one, four = (
    _compiled(parts, forward, loss, 1024, 1)
    .memory_analysis()
    .temp_size_in_bytes
    for parts in (1, 4)
  )
  assert four < one / 2


@pytest.mark.parametrize(
  'name', ['simclr', pytest.param('paws', marks=pytest.mark.slow)]
)
def test_schedules_of_a_step_in_parts_are_those_of_the_whole_batch(name):
  """On a tiny network without augmentations."""
  config = quickstart.get_config()
  config.method, config.batch_size, config.accumulate = name, ROWS, 2
  config.views.large.size = 8
  config.network.projector.update(hidden=16, output=8)
  config.network.predictor.hidden = 16
  config.support.update(classes_per_batch=2, images_per_class=8)
  config.augment.update(jitter=0.0, grayscale=0.0, solarize=(0.0, 0.0))
  config.optimizer.reference_batch, config.ema.schedule = 256, 'cosine'
  config.probe.enabled = False
  mesh = mesh_lib.make_mesh(jax.devices()[:1])
  method = methods.make(config, MethodContext(mesh, ROWS, 10 * ROWS))
  step, rng = (
    make_train_step(config, method, mesh, 10, 2),
    np.random.default_rng(0),
  )
  batch = jax.tree.map(
    lambda x: rng.integers(0, [2, 256][x.ndim > 1], x.shape).astype(x.dtype),
    aot.abstract_batch(config, mesh, method.support),
  )
  state, train = jax.jit(step.init)(), jax.jit(step.train)
  rate = schedules.learning_rate(config.optimizer, ROWS, 2, 10)
  decay = schedules.ema_decay(config.ema, 10)
  for n in range(3):
    state, metrics = train(state, batch)
    assert np.isfinite(metrics['loss/total']) and state.step == n + 1
    for key, want in (('learning_rate', rate), ('ema_decay', decay)):
      got = metrics[f'schedule/{key}']
      np.testing.assert_allclose(got, want(jnp.int32(n)), rtol=1e-6)


@pytest.mark.parametrize('parts, sentences', [(1, 0), (2, 0), (3, 1), (16, 1)])
def test_parts_must_divide_the_rows_of_a_device(parts, sentences):
  config = quickstart.get_config()
  config.accumulate = parts
  found = config_checks.problems(config, device_count=8)
  assert len(found) == sentences
  for each in found:
    assert f'accumulate={parts} must divide the 8 rows' in each
