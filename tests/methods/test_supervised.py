"""Cross-entropy on labelled rows: by hand, and what it leaves out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import quickstart
from semppl_jax import methods
from semppl_jax.data.batch import Batch
from semppl_jax.methods.base import Inputs, MethodContext
from semppl_jax.models.network import Outputs
from semppl_jax.runtime import mesh as mesh_lib

B, V, C = 8, 2, 3
LABEL = np.array([0, -1, 2, -1, 1, 1, -1, -1], np.int32)


def _loss(logits, label=LABEL):
  config = quickstart.get_config()
  config.method = 'supervised'
  mesh = mesh_lib.make_mesh(jax.devices()[:1])
  method = methods.make(config, MethodContext(mesh, B, 100))
  none = np.zeros((B, 0, 8, 8, 3), np.uint8)
  label = jnp.asarray(label)
  batch = Batch(none, none, label, label, label)
  online = Outputs(jnp.zeros((B, V, 4)), logits=jnp.asarray(logits))
  return method.loss(
    Inputs(online, None, batch, (), jax.random.key(0), jnp.int32(0))
  )


def _draw():
  return np.random.default_rng(0).normal(size=(B, V, C)).astype(np.float32)


def test_by_hand():
  """Two rows of one view each: log(1 + e) and log(1 + e^2) - 2."""
  logits = np.zeros((B, V, C), np.float32)
  logits[..., 2] = -1e9  # Two classes are left.
  logits[0, :, 1], logits[1, :, 1] = 1.0, 2.0
  label = np.array([0, 1, *[-1] * 6], np.int32)
  found = _loss(logits, label)
  want = (np.log(1 + np.e) + np.log(1 + np.e**2) - 2) / 2
  np.testing.assert_allclose(found.loss, want, rtol=1e-6)
  np.testing.assert_allclose(found.metrics['supervised/accuracy'], 0.5)


def test_written_out():
  logits, total, right = _draw(), 0.0, 0
  rows = [(b, v) for b in range(B) for v in range(V) if LABEL[b] >= 0]
  for b, v in rows:
    e = np.exp(logits[b, v].astype(np.float64))
    total -= np.log(e[LABEL[b]] / e.sum())
    right += np.argmax(e) == LABEL[b]
  found = _loss(logits)
  np.testing.assert_allclose(found.loss, total / len(rows), rtol=1e-5)
  accuracy = found.metrics['supervised/accuracy']
  np.testing.assert_allclose(accuracy, right / len(rows), rtol=1e-6)


def test_gradient_by_finite_differences():
  logits, direction = _draw(), _draw()[::-1].copy()
  slope = np.vdot(jax.grad(lambda x: _loss(x).loss)(logits), direction)
  up, down = (_loss(logits + s * 1e-2 * direction).loss for s in (1, -1))
  assert slope == pytest.approx(float(up - down) / 2e-2, rel=1e-3)


def test_unlabelled_rows_take_no_part():
  logits = _draw()
  grad = jax.grad(lambda x: _loss(x).loss)(logits)
  assert not grad[LABEL < 0].any() and grad[LABEL >= 0].any()


def test_without_a_label_the_loss_is_zero():
  assert _loss(_draw(), np.full(B, -1, np.int32)).loss == 0
