"""Pseudo-labels and their metrics on a batch by hand; votes: test_semppl.py."""

import jax
import jax.numpy as jnp
import numpy as np

from configs import base
from semppl_jax.data.batch import Batch
from semppl_jax.methods import memory_bank, semppl
from semppl_jax.runtime import mesh as mesh_lib


def _label(mode):
  """Labels four rows of a queue with class 5 on the x and 6 on the y axis."""
  config = base.get_config().semppl
  config.update(pseudo_labels=mode, k=1)
  mesh = mesh_lib.make_mesh(jax.devices()[:1])
  axes = jnp.eye(2)[:, None]
  queue = memory_bank.Queue(
    embedding=jnp.pad(jnp.swapaxes(axes, 0, 1), ((0, 0), (0, 2), (0, 0))),
    label=jnp.array([5, 6, -1, -1], jnp.int32),
    index=jnp.array([50, 60, -1, -1], jnp.int32),
    head=jnp.int32(2),
    size=jnp.int32(2),
  )
  none = np.zeros((4, 0), np.uint8)
  batch = Batch(
    none,
    none,
    label=jnp.array([6, -1, -1, -1], jnp.int32),
    index=jnp.arange(4, dtype=jnp.int32),
    diagnostic_label=jnp.array([6, 5, 5, -1], jnp.int32),
  )
  anchor = axes[jnp.array([0, 0, 1, 1])]
  labeler = jax.jit(semppl.make_labeler(config, mesh))
  return labeler(anchor, batch, queue)


def test_votes_label_what_has_no_label():
  labels, metrics = _label('knn')
  np.testing.assert_array_equal(labels.label, [6, 5, 6, 6])
  np.testing.assert_array_equal(labels.neighbor_ids[:, 0], [50, 50, 60, 60])
  np.testing.assert_array_equal(labels.share, np.ones(4))
  assert metrics['pseudo/coverage'] == 1 and metrics['pseudo/agreement'] == 1
  # Of two rows of known class, one.
  assert metrics['pseudo/accuracy'] == 0.5
  entropy = (np.log(3) + 2 * np.log(1.5)) / 3
  np.testing.assert_allclose(metrics['pseudo/entropy'], entropy, rtol=1e-6)


def test_an_oracle_knows_and_none_knows_nothing():
  labels, metrics = _label('oracle')
  np.testing.assert_array_equal(labels.label, [6, 5, 5, -1])
  np.testing.assert_allclose(metrics['pseudo/coverage'], 2 / 3, rtol=1e-6)
  labels, metrics = _label('none')
  np.testing.assert_array_equal(labels.label, [6, -1, -1, -1])
  assert not metrics
