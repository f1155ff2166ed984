"""ReLICv2 is SemPPL without semantic positives."""

import chex
import numpy as np
import pytest

from semppl_jax.models.network import Outputs
from tests.helpers import method_losses
from tests.helpers.method_losses import embeddings, make, ROWS

SMALL = 2


@pytest.mark.parametrize('fields', [
    {'invariance': 'kl', 'negatives': 'shared'},
    {'invariance': 'log_ratio', 'negatives': 'per_pair'},
    {'invariance': 'kl', 'include_same_view': False, 'temperature': 0.5},
], ids=str)  # fmt: skip
def test_relicv2_is_semppl_without_semantic_positives(fields):
  fields = {'num_negatives': 4, 'invariance_weight': 3.0, **fields}
  semppl = {'semantic_positives': False, **fields}
  online = Outputs(None, prediction=embeddings(ROWS, 2 + SMALL))
  target = Outputs(None, projection=embeddings(ROWS, 2, 1))
  (one, grads), (two, others) = (
    method_losses.loss(make(method_losses.config(name, SMALL, **own)))(
      online, target
    )
    for name, own in (('relicv2', fields), ('semppl', semppl))
  )
  np.testing.assert_allclose(one.loss, two.loss, rtol=1e-6)
  chex.assert_trees_all_close(grads, others, rtol=1e-5, atol=1e-7)
  method_losses.assert_zero(grads[1])
  for name in one.metrics:
    np.testing.assert_allclose(
      one.metrics[name], two.metrics[name], rtol=1e-5, atol=1e-7
    )
