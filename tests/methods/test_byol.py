"""BYOL predicts the targets of the other large views."""

import numpy as np
import pytest

from semppl_jax.models.network import Outputs
from tests.helpers import method_losses
from tests.helpers.method_losses import embeddings, make, ROWS


def _cosine(a, b):
  a, b = np.float64(a), np.float64(b)
  return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


@pytest.mark.parametrize('small', [0, 2])
def test_byol_predicts_the_targets_of_the_other_large_views(small):
  online = Outputs(*(embeddings(ROWS, 2 + small, seed) for seed in range(3)))
  target = Outputs(embeddings(ROWS, 2, 3), projection=embeddings(ROWS, 2, 4))
  method = make(method_losses.config('byol', small))
  assert (method.target, method.bn_groups) == ('ema', 'view')
  result, (trained, fixed) = method_losses.loss(method)(online, target)
  each = [
    2 - 2 * _cosine(online.prediction[b, i], target.projection[b, j])
    for b in range(ROWS)
    for i in range(2 + small)
    for j in range(2)
    if i != j
  ]
  np.testing.assert_allclose(result.loss, sum(each) / ROWS, rtol=1e-5)
  assert np.all(np.any(trained.prediction, axis=-1))
  method_losses.assert_zero((fixed, trained.features, trained.projection))
