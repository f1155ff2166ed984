"""BYOL's regression (Grill et al., arXiv 2006.07733)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

from semppl_jax.losses.contrastive import EXACT, normalize


def regression(
  prediction: Float[Array, 'B V D'], target: Float[Array, 'B L D']
) -> Float32[Array, '']:
  """BYOL's 2 - 2 cos of view i's prediction and view j's target (eq. 2).

  Args:
    prediction: online views [B, V, D], the L large views first.
    target: projections of the large views [B, L, D]; takes no gradient.

  Returns:
    The sum over ordered pairs i != j of the mean over the batch, a scalar.

  Example:
    >>> opposite = jnp.array([[[1.0, 0.0], [-1.0, 0.0]]])
    >>> regression(opposite, opposite).item()
    8.0
  """
  online = normalize(prediction)
  target = jax.lax.stop_gradient(normalize(target))
  cosine = jnp.einsum('bvd,bld->vl', online, target, precision=EXACT)
  pairs = 1.0 - jnp.eye(*cosine.shape, dtype=jnp.float32)
  return jnp.sum((2.0 - 2.0 * cosine / online.shape[0]) * pairs)
