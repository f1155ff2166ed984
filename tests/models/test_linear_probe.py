"""The online linear probe: what it learns, and that it changes nothing."""

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from semppl_jax.models import linear_probe

CONFIG = ml_collections.ConfigDict(dict(enabled=True, learning_rate=0.05))
F, C = 6, 3


def _rows(count=32, views=2, seed=0):
  rng = np.random.default_rng(seed)
  label = rng.integers(0, C, count).astype(np.int32)
  features = rng.normal(size=(count, views, F)) * 0.3
  features[np.arange(count), :, label] += 2.0
  return jnp.asarray(features, jnp.float32), jnp.asarray(label)


def test_it_learns_a_separable_problem():
  probed = linear_probe.make_probe(CONFIG, C)
  state = probed.init(F)
  features, label = _rows()
  for _ in range(60):
    state, metrics = jax.jit(probed.update)(state, features, label)
  assert metrics['probe/accuracy'] == 1.0
  predicted = linear_probe.logits(state, features[:, 0]).argmax(axis=-1)
  np.testing.assert_array_equal(predicted, label)


def test_first_loss_and_gradient_by_hand():
  probed = linear_probe.make_probe(CONFIG, C)
  features, label = _rows(count=4, views=1)
  label = label.at[0].set(-1)
  state, metrics = probed.update(probed.init(F), features, label)
  np.testing.assert_allclose(metrics['probe/loss'], np.log(C), rtol=1e-6)
  x = np.asarray(features[1:, 0], np.float64)
  x *= np.sqrt(F) / np.linalg.norm(x, axis=1, keepdims=True)
  grad = x.T @ (1 / C - np.eye(C)[np.asarray(label[1:])]) / 3
  # The first step of Adam is the sign of the gradient.
  np.testing.assert_allclose(
    state.params['w'], -CONFIG.learning_rate * np.sign(grad), rtol=1e-3
  )


def test_rows_without_a_label_do_not_count():
  probed = linear_probe.make_probe(CONFIG, C)
  features, label = _rows()
  hidden = label.at[::2].set(-1)
  want, _ = probed.update(probed.init(F), features[1::2], label[1::2])
  got, _ = probed.update(probed.init(F), features, hidden)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), got, want
  )
  state, metrics = probed.update(got, features, jnp.full_like(label, -1))
  assert all(np.isnan(value) for value in metrics.values())
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(state))


def test_no_gradient_reaches_the_features():
  probed = linear_probe.make_probe(CONFIG, C)
  features, label = _rows()

  def loss(x):
    return probed.update(probed.init(F), x, label)[1]['probe/loss']

  assert not jax.grad(loss)(features).any()


def test_switched_off_it_is_empty():
  config = ml_collections.ConfigDict(dict(enabled=False, learning_rate=1.0))
  probed = linear_probe.make_probe(config, 0)
  assert probed.init(F) == ()
  assert probed.update((), *_rows()) == ((), {})


def test_one_class_is_refused():
  with pytest.raises(ValueError, match='at least 2 classes, got 1'):
    linear_probe.make_probe(CONFIG, 1)
