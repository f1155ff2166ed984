"""SemPPL's loss against plain NumPy loops, and the laws of its parts."""

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from configs import base
from semppl_jax import knn, memory as memory_lib, mesh as mesh_lib
from semppl_jax.batch import Batch
from semppl_jax.methods import negatives, semppl
from semppl_jax.network import Outputs

ROWS, LARGE, SMALL, DIM = 16, 2, 1, 6


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


def _inputs(seed=0, collapsed=False):
  rng = np.random.default_rng(seed)
  shape = (ROWS, LARGE + SMALL, DIM)

  def draw(shape):
    x = np.ones(shape) if collapsed else rng.normal(size=shape)
    return jnp.asarray(x, jnp.float32)

  online = Outputs(features=None, projection=None, prediction=draw(shape))
  target = Outputs(
    features=None, projection=draw((ROWS, LARGE, DIM)), prediction=None
  )
  truth = rng.integers(0, 3, ROWS).astype(np.int32)
  label = np.where(rng.random(ROWS) < 0.5, truth, -1).astype(np.int32)
  empty = np.zeros((ROWS, 0, 1, 1, 3), np.uint8)
  batch = Batch(
      large=empty, small=empty, label=jnp.asarray(label),
      index=jnp.arange(ROWS, dtype=jnp.int32) + 100 * seed,
      diagnostic_label=jnp.asarray(truth),
  )  # fmt: skip
  return online, target, batch


def _memory(method, batches, mesh):
  """A queue that has seen some earlier batches."""
  queue = jax.jit(method.init_memory, out_shardings=method.memory_sharding)()
  for seed in range(1, batches + 1):
    _, target, batch = _inputs(seed)
    unit = target.projection / jnp.linalg.norm(
      target.projection, axis=-1, keepdims=True
    )
    queue = memory_lib.push(queue, unit, batch.label, batch.index, mesh)
  return queue


def _log_p(anchor, positive, negative, tau):
  """All log-probabilities of one softmax: positive first."""
  logits = np.array([anchor @ positive, *(anchor @ n for n in negative)]) / tau
  top = logits.max()
  return logits - top - np.log(np.exp(logits - top).sum())


def _slow_loss(config, online, target, batch, queue, key):
  """The equations, row by row, pair by pair, positive by positive."""
  s = config.semppl
  unit = lambda x: np.asarray(x) / np.linalg.norm(x, axis=-1, keepdims=True)
  o, t = unit(online.prediction), unit(target.projection)
  negative_key, draw_key = jax.random.split(key)
  pairs = () if s.negatives == 'shared' else (LARGE + SMALL, LARGE)
  chosen = np.asarray(
    negatives.draw(negative_key, batch.index, s.num_negatives, _mesh(), pairs)
  )
  labels = _slow_labels(config, o, batch, queue)
  drawn = knn.draw_same_label(
      draw_key, queue.label, queue.index, jnp.asarray(labels), batch.index,
      (LARGE, s.num_positives),
  )  # fmt: skip
  slot, valid = np.asarray(drawn.slot), np.asarray(drawn.valid)
  bank = np.asarray(queue.embedding)

  def invariance(first, second):
    if s.invariance == 'log_ratio':
      return first[0] - second[0]
    return np.sum(np.exp(first) * (first - second))

  sums = np.zeros(4)  # L_augm, I_augm, L_sempos, I_sempos.
  kept = 0
  for i in range(LARGE + SMALL):
    for j in range(LARGE):
      if i == j and not s.include_same_view:
        continue
      kept += 1
      a, b = (j, i) if i < LARGE else (j, j)
      for m in range(ROWS):
        rows = chosen[m] if s.negatives == 'shared' else chosen[m, i, j]

        def both(positive_j, positive_b, m=m, rows=rows, i=i, j=j, a=a, b=b):
          one = _log_p(o[m, i], positive_j, t[rows, j], s.temperature)
          two = _log_p(o[m, a], positive_b, t[rows, b], s.temperature)
          swap = i < LARGE
          pair = (one, two) if swap else (two, one)
          return -one[0], invariance(*pair)

        contrast, penalty = both(t[m, j], t[m, b])
        sums[:2] += np.array([contrast, penalty]) / ROWS
        if valid[m] and s.semantic_positives:
          for p in range(s.num_positives):
            contrast, penalty = both(bank[j, slot[m, j, p]],
                                     bank[b, slot[m, b, p]])  # fmt: skip
            sums[2:] += np.array([contrast, penalty]) / (
              s.num_positives * max(valid.sum(), 1)
            )
  l_augm, i_augm, l_sem, i_sem = sums / kept
  return s.contrast_weight * (
    l_augm + s.semantic_weight * l_sem
  ) + s.invariance_weight * (i_augm + i_sem)


def _slow_labels(config, o, batch, queue):
  """Votes by sorting the whole queue for each view."""
  s = config.semppl
  labels = np.asarray(batch.label).copy()
  age = np.asarray(memory_lib.age(queue))
  views = 1 if s.vote_views == 'single' else LARGE
  for m in np.flatnonzero(labels < 0):
    if s.pseudo_labels == 'oracle':
      labels[m] = batch.diagnostic_label[m]
    if s.pseudo_labels != 'knn':
      continue
    votes = {}
    for i in range(views):
      for j in range(views):
        score = np.asarray(queue.embedding[j]) @ o[m, i]
        order = sorted(
          (-score[n], age[n], n) for n in np.flatnonzero(queue.label >= 0)
        )[: s.k]
        own = {}
        for negated, _, n in order:
          count, total = own.get(int(queue.label[n]), (0, 0.0))
          own[int(queue.label[n])] = (count + 1, total - negated)
        if own:
          best = min(own, key=lambda c: (-own[c][0], -own[c][1], c))
          count, total = votes.get(best, (0, 0.0))
          votes[best] = (count + 1, total + own[best][1])
    if votes:
      labels[m] = min(votes, key=lambda c: (-votes[c][0], -votes[c][1], c))
  return labels


@pytest.mark.parametrize('overrides', [
    {},
    {'invariance': 'kl'},
    {'negatives': 'per_pair'},
    {'negatives': 'per_pair', 'invariance': 'kl'},
    {'include_same_view': False},
    {'semantic_positives': False},
    {'pseudo_labels': 'none'},
    {'pseudo_labels': 'oracle'},
    {'k': 3},
    {'k': 5, 'vote_views': 'single'},
    {'semantic_weight': 0.0, 'num_positives': 1},
    {'invariance_weight': 0.0},
], ids=str)  # fmt: skip
def test_loss_is_that_of_the_equations(overrides):
  config, mesh = _config(**overrides), _mesh()
  method = semppl.make(config, mesh)
  online, target, batch = _inputs()
  memory = _memory(method, 3, mesh)
  key = jax.random.key(7)
  got = jax.jit(method.loss)(online, target, batch, memory, key)
  want = _slow_loss(config, online, target, batch, got.memory, key)
  np.testing.assert_allclose(got.loss, want, rtol=2e-5)


@pytest.mark.parametrize('invariance', ['log_ratio', 'kl'])
@pytest.mark.parametrize('drawn', ['shared', 'per_pair'])
def test_collapsed_embedding_has_the_known_loss(invariance, drawn):
  config = _config(invariance=invariance, negatives=drawn, num_negatives=10)
  method = semppl.make(config, _mesh())
  online, target, batch = _inputs(collapsed=True)
  queue = jax.jit(method.init_memory)()
  result = jax.jit(method.loss)(online, target, batch, queue, jax.random.key(0))
  # 0.3 x 1.2 x log 11; some label has two images, so positives exist.
  np.testing.assert_allclose(result.loss, 0.8632, atol=1e-4)
  assert abs(result.metrics['loss/invariance_augmentation']) < 1e-6
  assert abs(result.metrics['loss/invariance_semantic']) < 1e-6


def _loss_of_prediction(config, seed=0):
  """The loss as a function of the online predictions, in float32."""
  method = semppl.make(config, _mesh())
  online, target, batch = _inputs(seed)
  memory = _memory(method, 2, _mesh())

  @jax.jit
  def value(prediction, target=target.projection, batch=batch):
    result = method.loss(
        online._replace(prediction=prediction),
        Outputs(None, target, None), batch, memory, jax.random.key(3),
    )  # fmt: skip
    return result.loss

  return value, online.prediction, target.projection, batch


@pytest.mark.parametrize('invariance', ['log_ratio', 'kl'])
def test_gradient_is_that_of_the_trained_side(invariance):
  """Against finite differences of the loss with its stopped side frozen."""
  config = _config(invariance=invariance, pseudo_labels='none')
  value, x, _, _ = _loss_of_prediction(config)
  grad = jax.grad(value)(x)
  frozen = _frozen_loss(config, x)
  direction = _direction(x)
  step = 1e-2
  slope = frozen(x + step * direction) - frozen(x - step * direction)
  np.testing.assert_allclose(
    np.sum(np.asarray(grad) * direction), slope / (2 * step), rtol=5e-3
  )


def _direction(x):
  return np.random.default_rng(5).normal(size=x.shape).astype(np.float32)


def _frozen_loss(config, frozen_x):
  """The loss in NumPy, with every stopped likelihood taken at `frozen_x`."""
  s = config.semppl
  _, target, batch = _inputs()
  method = semppl.make(config, _mesh())
  memory = _memory(method, 2, _mesh())
  unit = lambda x: (
    np.asarray(x, np.float64) / np.linalg.norm(x, axis=-1, keepdims=True)
  )
  t = unit(target.projection)
  queue = memory_lib.push(
    memory, jnp.asarray(t, jnp.float32), batch.label, batch.index, _mesh()
  )
  negative_key, draw_key = jax.random.split(jax.random.key(3))
  rows = np.asarray(
    negatives.draw(negative_key, batch.index, s.num_negatives, _mesh())
  )
  drawn = knn.draw_same_label(
      draw_key, queue.label, queue.index, batch.label, batch.index,
      (LARGE, s.num_positives),
  )  # fmt: skip
  slot, valid = np.asarray(drawn.slot), np.asarray(drawn.valid)
  bank = np.asarray(queue.embedding, np.float64)

  def penalty(stopped, trained):
    if s.invariance == 'log_ratio':
      return stopped[0] - trained[0]
    return np.sum(np.exp(stopped) * (stopped - trained))

  def loss(x):
    o, still = unit(x), unit(frozen_x)
    total = 0.0
    for i in range(LARGE + SMALL):
      for j in range(LARGE):
        for m in range(ROWS):
          kinds = [(t[m, j], t[m, i] if i < LARGE else t[m, j], 1.0, 1 / ROWS)]
          if valid[m]:
            other = i if i < LARGE else j
            kinds += [
                (bank[j, slot[m, j, p]], bank[other, slot[m, other, p]],
                 s.semantic_weight, 1 / (s.num_positives * valid.sum()))
                for p in range(s.num_positives)
            ]  # fmt: skip
          for z_j, z_other, weight, share in kinds:
            n = rows[m]
            trained_own = _log_p(o[m, i], z_j, t[n, j], s.temperature)
            if i < LARGE:
              stopped = _log_p(still[m, i], z_j, t[n, j], s.temperature)
              trained = _log_p(o[m, j], z_other, t[n, i], s.temperature)
            else:
              stopped = _log_p(still[m, j], z_other, t[n, j], s.temperature)
              trained = trained_own
            total += share * (
              -s.contrast_weight * weight * trained_own[0]
              + s.invariance_weight * penalty(stopped, trained)
            )
    return total / ((LARGE + SMALL) * LARGE)

  return loss


def test_targets_and_queue_take_no_gradient():
  value, x, target, batch = _loss_of_prediction(_config())
  grad = jax.grad(lambda t: value(x, t, batch))(target)
  np.testing.assert_array_equal(grad, np.zeros_like(grad))


def test_true_labels_of_unlabelled_rows_change_nothing_but_metrics():
  config, mesh = _config(), _mesh()
  method = semppl.make(config, mesh)
  online, target, batch = _inputs()
  memory = _memory(method, 2, mesh)
  hidden = batch._replace(
    diagnostic_label=jnp.where(
      batch.label < 0, 2 - batch.diagnostic_label, batch.diagnostic_label
    )
  )

  @jax.jit
  def learn(batch):
    def loss(prediction):
      result = method.loss(
          online._replace(prediction=prediction), target, batch, memory,
          jax.random.key(0),
      )  # fmt: skip
      return result.loss, result

    (_, result), grad = jax.value_and_grad(loss, has_aux=True)(
      online.prediction
    )
    return result, grad

  (one, one_grad), (two, two_grad) = learn(batch), learn(hidden)
  assert one.loss == two.loss
  np.testing.assert_array_equal(one_grad, two_grad)
  jax.tree.map(np.testing.assert_array_equal, one.memory, two.memory)
  differing = {
    name for name in one.metrics if one.metrics[name] != two.metrics[name]
  }
  assert differing == {'pseudo/accuracy'}


@pytest.mark.parametrize('devices', [2, 8])
def test_device_count_changes_no_number(devices):
  online, target, batch = _inputs()

  def run(devices):
    mesh = _mesh(devices)
    method = semppl.make(_config(k=2), mesh)
    memory = _memory(method, 3, mesh)
    rows = mesh_lib.sharded(mesh)
    place = lambda tree: jax.tree.map(lambda x: jax.device_put(x, rows), tree)
    return jax.jit(method.loss)(
      place(online), place(target), place(batch), memory, jax.random.key(1)
    )

  one, many = run(1), run(devices)
  np.testing.assert_allclose(one.loss, many.loss, rtol=1e-6)
  for a, b in zip(one.memory, many.memory, strict=True):
    np.testing.assert_array_equal(a, b)
  for name, value in one.metrics.items():
    np.testing.assert_allclose(value, many.metrics[name], rtol=1e-5, atol=1e-7)


def test_negatives_are_other_images_without_repeats():
  index = jnp.array([0, 1, 2, 3, 3, 5, 6, 7], jnp.int32)
  for seed in range(20):
    chosen = np.asarray(negatives.draw(jax.random.key(seed), index, 4, _mesh()))
    for row, others in enumerate(chosen):
      assert len(set(others)) == 4
      assert index[row] not in np.asarray(index)[others]


def test_negatives_are_uniform():
  index = jnp.arange(6, dtype=jnp.int32)
  draw = jax.jit(jax.vmap(lambda k: negatives.draw(k, index, 2, _mesh())))
  chosen = np.asarray(draw(jax.random.split(jax.random.key(0), 4000)))
  share = np.bincount(chosen[:, 0].ravel(), minlength=6) / 8000
  np.testing.assert_allclose(share, [0, *[0.2] * 5], atol=0.02)


def test_repeated_images_are_negatives_only_when_nothing_else_is_left():
  index = jnp.array([4, 4, 4, 9], jnp.int32)
  chosen = np.asarray(negatives.draw(jax.random.key(0), index, 3, _mesh()))
  for row, others in enumerate(chosen):
    assert set(others) == set(range(4)) - {row}
  assert (chosen[:3, 0] == 3).all()
