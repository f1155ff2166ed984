"""Soft assignments to classes and prototypes, without a classifier.

Sources: PAWS (Assran et al., arXiv 2104.13963) and SwAV (Caron et al., arXiv
2006.09882). Under `jit`, a sum over sharded rows is one over all devices.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

from semppl_jax.losses.contrastive import EXACT, normalize

# Probabilities below the least normal number count as 0: compilers may flush
# them, and then their logarithm is -inf.
_TINY = float(jnp.finfo(jnp.float32).tiny)


def soft_nn(
  query: Float[Array, 'M D'],
  support: Float[Array, 'S D'],
  label: Float[Array, 'S C'],
  temperature: float,
) -> Float32[Array, 'M C']:
  """The similarity classifier pi_d of PAWS (section 3.2): softmax(qs'/tau)y.

  Gradients flow to queries and supports.

  Args:
    query: embeddings [M, D]; need not be normalized.
    support: labelled embeddings [S, D].
    label: rows of probabilities [S, C].
    temperature: tau > 0.

  Returns:
    Rows of probabilities [M, C].

  Example:
    >>> soft_nn(jnp.ones((1, 2)), jnp.eye(2), jnp.eye(2), 0.1).tolist()
    [[0.5, 0.5]]
  """
  similarity = jnp.einsum(
    'md,sd->ms', normalize(query), normalize(support), precision=EXACT
  )
  share = jax.nn.softmax(similarity / temperature, axis=-1)
  label = label.astype(jnp.float32)
  return jnp.einsum('ms,sc->mc', share, label, precision=EXACT)


def sharpen(
  p: Float[Array, '*rows C'], temperature: float
) -> Float32[Array, '*rows C']:
  """The sharpening rho of PAWS (section 3.2): p^(1/T) over its sum.

  Entries that are 0 stay 0 and take no gradient.

  Args:
    p: probabilities [..., C].
    temperature: T > 0; below 1 it sharpens, 1 changes nothing.

  Returns:
    Probabilities [..., C].

  Example:
    >>> [round(x, 4) for x in sharpen(jnp.array([0.25, 0.75]), 0.5).tolist()]
    [0.1, 0.9]
  """
  p = p.astype(jnp.float32)
  present = p >= _TINY
  power = jnp.log(jnp.where(present, p, 1.0)) / temperature
  return jax.nn.softmax(jnp.where(present, power, -jnp.inf), axis=-1)


def cross_entropy(
  target: Float[Array, '*rows C'], p: Float[Array, '*rows C'], floor: float
) -> Float32[Array, '*rows']:
  """H(target, p) = -sum_k target_k log p_k (PAWS eq. 1).

  Args:
    target: probabilities [..., C]; takes no gradient.
    p: predicted probabilities [..., C].
    floor: targets below it are set to 0, and the others stay as they are.

  Returns:
    Entropies [...]; infinite where p_k is 0 and target_k is not.

  Example:
    >>> p = jnp.array([0.5, 0.5])
    >>> round(cross_entropy(p, p, 0.0).item(), 4)
    0.6931
  """
  target = jax.lax.stop_gradient(target.astype(jnp.float32))
  counted = (target >= floor) & (target > 0.0)
  logs = jnp.log(jnp.where(counted, p.astype(jnp.float32), 1.0))
  return -jnp.sum(jnp.where(counted, target, 0.0) * logs, axis=-1)


def me_max(p: Float[Array, 'M C']) -> Float32[Array, '']:
  """Negative entropy of the mean prediction, to be minimized (PAWS eq. 1).

  Args:
    p: rows of probabilities [M, C].

  Returns:
    sum_k pbar_k log pbar_k, a scalar from -log C, at the uniform mean, to 0.

  Example:
    >>> round(me_max(jnp.eye(2)).item(), 4)
    -0.6931
  """
  mean = jnp.mean(p.astype(jnp.float32), axis=0)
  # At 0 the slope is infinite: a class that no row predicts takes none.
  return jnp.sum(mean * jnp.log(jnp.where(mean >= _TINY, mean, 1.0)))


def sinkhorn(
  scores: Float[Array, 'M K'], epsilon: float, iterations: int
) -> Float32[Array, 'M K']:
  """Assigns rows to prototypes in equal shares (SwAV section 3.1).

  In the order of SwAV's code: prototypes first, then rows. The code divides
  by K and M as well, which the next division by the rows' sums undoes.

  Args:
    scores: similarity of every row to every prototype [M, K]; takes no
      gradient.
    epsilon: weight of the entropy > 0; the smaller, the harder.
    iterations: at least 1.

  Returns:
    Rows of probabilities [M, K], whose columns tend to sums of M / K.

  Example:
    >>> sinkhorn(jnp.zeros((3, 2)), 0.05, 3).sum(axis=0).tolist()
    [1.5, 1.5]
  """
  # In logarithms: exp(1 / 0.01) is more than float32 holds.
  logs = jax.lax.stop_gradient(scores.astype(jnp.float32)) / epsilon
  for _ in range(iterations):
    logs = jax.nn.log_softmax(logs, axis=0)
    logs = jax.nn.log_softmax(logs, axis=1)
  return jnp.exp(logs)
