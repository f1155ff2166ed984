"""SimCLR is NT-Xent of the projections."""

import jax
import numpy as np
import pytest

from semppl_jax.losses import nt_xent
from semppl_jax.models.network import Outputs
from tests.helpers import method_losses
from tests.helpers.method_losses import embeddings, ROWS


@pytest.mark.parametrize('tau', [0.1, 0.7])
def test_the_loss_is_nt_xent_of_the_projections(tau):
  z = embeddings(ROWS, 2)
  config = method_losses.config('simclr', temperature=tau)
  run = method_losses.loss(method_losses.make(config))
  result, (online, _) = run(Outputs(embeddings(ROWS, 2, 1), projection=z))
  want, slope = jax.jit(jax.value_and_grad(nt_xent.nt_xent), static_argnums=1)(
    z, tau
  )
  np.testing.assert_allclose(result.loss, want, rtol=1e-6)
  np.testing.assert_allclose(online.projection, slope, rtol=1e-4, atol=1e-6)
  method_losses.assert_zero(online.features)
