"""A gradient in parts against one of the whole, written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import quickstart
from semppl_jax import methods
from semppl_jax.data import batch_layout
from semppl_jax.data.batch import Batch, Support
from semppl_jax.methods.base import Setting
from semppl_jax.models.network import Outputs
from semppl_jax.optim import schedules
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.tools.compile import hlo_collectives
from semppl_jax.training import aot, config_checks, grad_cache
from semppl_jax.training.grad_cache import Images, Passes
from semppl_jax.training.train_step import make_step

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


def _mlp(params, x, normalise=True):
  """Embeddings [N, V, D] and a state; rows are normalised by all of them."""
  h = x.reshape(*x.shape[:2], -1) @ params['first']
  mean, deviation = jnp.mean(h, (0, 1)), jnp.std(h, (0, 1))
  if normalise:
    h = (h - mean[None, None]) / (deviation[None, None] + 0.1)
  return jnp.tanh(h) @ params['last'], {'mean': mean, 'counter': jnp.int32(5)}


def _loss(online: Outputs, forwarded: Outputs):
  """Each row against the targets of all rows, among these and the supports."""
  outputs = online, forwarded, online.support
  rows, fixed, beside = (x.projection.reshape(-1, DIM) for x in outputs)
  logs = jax.nn.log_softmax(rows @ jnp.concatenate([fixed, beside]).T)
  return -jnp.mean(jnp.diag(logs)) + jnp.log(jnp.sum(rows**2)), {'logs': logs}


def _passes(normalise=True) -> Passes:
  def colour(batch, key):
    del key
    return Images((batch.large, batch.small), batch.support.large)

  def online(params, images):
    z, state = _mlp(params, images.views[0], normalise)
    beside, _ = _mlp(params, images.support, normalise)
    return Outputs(2 * z, z, support=Outputs(2 * beside, beside)), state

  def target(images):
    z, state = _mlp(_params(7), images.views[0], normalise)
    return Outputs(3 * z, z), state

  return Passes(colour, online, target, _loss)


def _run(parts, passes):
  run = jax.jit(lambda *args: grad_cache.make(parts)(passes, *args))
  return run(_params(), _batch(), jax.random.key(0))


def _assert_close(got, want, rtol=1e-5):
  assert jax.tree.structure(got) == jax.tree.structure(want)
  close = lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-6)
  jax.tree.map(close, got, want)


def _written_out(parts, passes, batch) -> grad_cache.Result:
  """The same without a loop."""
  images = passes.colour(batch, None)

  def rows_of(i, rows):
    return np.flatnonzero(grad_cache.part_of(rows, parts) == i)

  pieces = [
    jax.tree.map(lambda x, i=i: x[rows_of(i, len(x))], images)
    for i in range(parts)
  ]

  def joined(*made):
    place = [rows_of(i, parts * len(x)) for i, x in enumerate(made)]
    return jnp.concatenate(made)[np.argsort(np.concatenate(place))]

  def through(network):
    made, states = zip(*map(network, pieces), strict=True)
    mean = sum(state['mean'] for state in states) / parts
    return jax.tree.map(joined, *made), {**states[0], 'mean': mean}

  forwarded, target_state = through(passes.target)

  def loss(params):
    online, state = through(lambda piece: passes.online(params, piece))
    value, told = passes.loss(online, forwarded)
    return value, (told, online, state)

  (value, (told, online, state)), grads = jax.value_and_grad(
    loss, has_aux=True
  )(_params())
  return grad_cache.Result(value, told, online, grads, state, target_state)


@pytest.mark.parametrize('parts', [1, 2, 4])
def test_parts_are_the_composed_function(parts):
  """Loss, what it tells, outputs, gradient and both states."""
  got = _run(parts, _passes())
  want = jax.jit(lambda: _written_out(parts, _passes(), _batch()))()
  _assert_close(got, want)
  assert got.net_state['counter'].dtype == jnp.int32


@pytest.mark.parametrize('parts', [2, 3, 4, 8])
def test_parts_have_one_row_of_each_group_of_neighbours(parts):
  part = grad_cache.part_of(24 * parts, parts).reshape(-1, parts)
  np.testing.assert_array_equal(np.sort(part), [range(parts)] * 24)


@pytest.mark.parametrize('labelled', [1, 4, 16, 32, 48])
@pytest.mark.parametrize('parts', [2, 4, 8])
def test_parts_share_the_labelled_rows(labelled, parts):
  """Which `data.labelled_per_batch` spreads evenly over the batch."""
  known = np.arange(1000) < 100
  place = batch_layout.streams(64, labelled, known)[0].places
  found = np.bincount(grad_cache.part_of(64, parts)[place], minlength=parts)
  assert found.sum() == labelled
  assert found.max() - found.min() <= 1 + labelled // 16


@pytest.mark.parametrize('parts', [2, 4, 8])
def test_a_network_that_sees_each_row_alone_gives_the_same_in_parts(parts):
  passes = _passes(normalise=False)
  got, want = _run(parts, passes), _run(1, passes)
  _assert_close(got, want, rtol=1e-6)


def test_each_part_has_its_own_colours_and_the_same_in_both_passes():
  def colour(batch, key):
    noise = jax.random.normal(key, batch.large.shape)
    return Images((noise, batch.small), None)

  def online(params, images):
    return Outputs(params['scale'] * images.views[0][..., 0, 0, 0]), ()

  # The slope of half the squares by a factor of 1 is their sum, if the second
  # pass has the colours of the first.
  passes = Passes(
    colour, online, lambda images: (None, ()),
    lambda online, _: (jnp.sum(online.features**2) / 2, ()),
  )  # fmt: skip
  run = jax.jit(
    lambda key: grad_cache.make(4)(passes, {'scale': 1.0}, _batch(), key)
  )
  found, other = (run(jax.random.key(seed)) for seed in (0, 1))
  values = np.asarray(found.online.features)
  np.testing.assert_allclose(found.grads['scale'], np.sum(values**2), rtol=1e-5)
  assert len(np.unique([*values.ravel(), *other.online.features.ravel()])) == (
    2 * values.size
  )


def _compiled(parts, passes, rows, devices):
  """Of a batch over the devices, from shapes alone."""
  mesh = mesh_lib.make_mesh(jax.devices()[:devices])
  like = lambda tree, sharding: jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree
  )
  params = like(_params(), mesh_lib.replicated(mesh))
  batch = like(_batch(rows, rows), mesh_lib.sharded(mesh))
  run = jax.jit(lambda *args: grad_cache.make(parts)(passes, *args))
  return run.lower(params, batch, jax.random.key(0)).compile()


def test_parts_move_no_more_between_devices_than_one_pass():
  """Embeddings, which the loss compares, and not images."""
  rows, kinds = 64, ('all-gather', 'all-to-all', 'collective-permute')
  one, four = (
    hlo_collectives.count(_compiled(parts, _passes(), rows, 8).as_text()).bytes
    for parts in (1, 4)
  )
  images_of_a_device = rows // 8 * 3 * int(np.prod(PIXELS)) * 4
  for kind in kinds:
    assert four.get(kind, 0) <= one.get(kind, 0) < images_of_a_device / 2, kind


def test_four_parts_need_less_memory_than_one():
  """Of a deep network with small outputs, as all encoders are."""

  def online(params, images):
    x = images.views[0].reshape(-1, int(np.prod(PIXELS)))
    for _ in range(16):
      x = jnp.tanh(x @ params['first'] @ params['first'].T)
    return Outputs(x @ params['first'] @ params['last']), ()

  passes = Passes(
    _passes().colour, online, lambda images: (None, ()),
    lambda online, _: (jnp.sum(online.features**2), ()),
  )  # fmt: skip
  one, four = (
    _compiled(parts, passes, 1024, 1).memory_analysis().temp_size_in_bytes
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
  method = methods.make(config, Setting(mesh, ROWS, 10 * ROWS))
  step, rng = make_step(config, method, mesh, 10, 2), np.random.default_rng(0)
  batch = jax.tree.map(
    lambda x: rng.integers(0, [2, 256][x.ndim > 1], x.shape).astype(x.dtype),
    aot.batch_like(config, mesh, method.support),
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
