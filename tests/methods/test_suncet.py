"""SuNCEt beside NT-Xent, on the support batch or on labelled rows."""

import jax.numpy as jnp
import numpy as np
import pytest

from semppl_jax.losses import nt_xent
from semppl_jax.models.network import Outputs
from tests.helpers import method_losses
from tests.helpers.method_losses import DIM, embeddings, make, ROWS, SUPPORTS


def _suncet(config):
  """The method on views and two views of each support, at any step."""
  supports = Outputs(None, projection=embeddings(SUPPORTS, 2, 1))
  run = method_losses.loss(make(config))
  has_support = config.suncet.labelled == 'support'
  support = supports if has_support else None
  online = Outputs(None, embeddings(ROWS, 2), support=support)
  return online, lambda step: run(online, None, step)


def _by_class(projection, label, tau):
  rows = jnp.asarray(projection).reshape(-1, DIM)
  return nt_xent.suncet(rows, jnp.repeat(jnp.asarray(label), 2), tau)


@pytest.mark.parametrize('weight', [1.0, 0.5, 0.0])
def test_suncet_is_added_to_nt_xent_and_then_left_out(weight):
  config = method_losses.config(
    'suncet', contrast_weight=weight, duration='3 steps'
  )
  online, run = _suncet(config)
  contrast = weight * nt_xent.nt_xent(jnp.asarray(online.projection), 0.1)
  label = method_losses.batch().support.label
  by_class = _by_class(online.support.projection, label, 0.1)
  assert make(config).support
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
  config = method_losses.config('suncet', labelled='batch', contrast_weight=0.0)
  config.suncet.temperature = 0.3
  assert not make(config).support
  online, run = _suncet(config)
  result, (grads, _) = run(0)
  label = method_losses.batch().label
  want = _by_class(online.projection[label >= 0], label[label >= 0], 0.3)
  np.testing.assert_allclose(result.loss, want, rtol=1e-5)
  moved = np.any(grads.projection, axis=(1, 2))
  np.testing.assert_array_equal(moved, label >= 0)
