"""Predictions without a classifier: soft neighbours and prototypes.

Sources: PAWS (Assran et al., arXiv 2104.13963) and SwAV (Caron et al., arXiv
2006.09882). Pure mathematics, all in float32. Nothing here knows of devices:
under `jit`, a sum over sharded rows is one over all devices.
"""

import chex
import jax
import jax.numpy as jnp

from semppl_jax.losses.contrastive import EXACT, normalize

# Probabilities below the least normal number count as 0: compilers may flush
# them, and then their logarithm is -inf.
_TINY = float(jnp.finfo(jnp.float32).tiny)


def smooth(label: jax.Array, classes: int, smoothing: float) -> jax.Array:
  """Rows of 1 - e + e / C on the true class and e / C elsewhere.

  Args:
    label: classes [S], int32, from 0 to C - 1.
    classes: C.
    smoothing: e from 0 to 1.

  Returns:
    Rows of probabilities [S, C].
  """
  chex.assert_rank(label, 1)
  one_hot = jax.nn.one_hot(label, classes, dtype=jnp.float32)
  return one_hot * (1.0 - smoothing) + smoothing / classes


def soft_nn(
  query: jax.Array, support: jax.Array, label: jax.Array, temperature: float
) -> jax.Array:
  """The similarity classifier pi_d of PAWS (section 3.2): softmax(qs'/tau)y.

  Gradients flow to queries and supports.

  Args:
    query: embeddings [M, D]; need not be normalised.
    support: labelled embeddings [S, D].
    label: rows of probabilities [S, C].
    temperature: tau > 0.

  Returns:
    Rows of probabilities [M, C].
  """
  chex.assert_rank([query, support, label], 2)
  chex.assert_equal_shape_prefix([support, label], 1)
  similarity = jnp.einsum(
    'md,sd->ms', normalize(query), normalize(support), precision=EXACT
  )
  share = jax.nn.softmax(similarity / temperature, axis=-1)
  label = label.astype(jnp.float32)
  return jnp.einsum('ms,sc->mc', share, label, precision=EXACT)


def sharpen(p: jax.Array, temperature: float) -> jax.Array:
  """PAWS's rho: p^(1/T) over its sum, on the last axis (section 3.2).

  Entries that are 0 stay 0 and take no gradient.

  Args:
    p: probabilities [..., C].
    temperature: T > 0; below 1 it sharpens, 1 changes nothing.
  """
  p = p.astype(jnp.float32)
  present = p >= _TINY
  power = jnp.log(jnp.where(present, p, 1.0)) / temperature
  return jax.nn.softmax(jnp.where(present, power, -jnp.inf), axis=-1)


def cross_entropy(target: jax.Array, p: jax.Array, floor: float) -> jax.Array:
  """H(target, p) = -sum_k target_k log p_k, [...] (PAWS eq. 1).

  Infinite where p_k is 0 and target_k is not.

  Args:
    target: probabilities [..., C]; takes no gradient.
    p: predicted probabilities [..., C].
    floor: targets below it are set to 0, and the others stay as they are.
  """
  chex.assert_equal_shape([target, p])
  target = jax.lax.stop_gradient(target.astype(jnp.float32))
  counted = (target >= floor) & (target > 0.0)
  logs = jnp.log(jnp.where(counted, p.astype(jnp.float32), 1.0))
  return -jnp.sum(jnp.where(counted, target, 0.0) * logs, axis=-1)


def me_max(p: jax.Array) -> jax.Array:
  """Negative entropy of the mean prediction, to be minimised (PAWS eq. 1).

  Args:
    p: rows of probabilities [M, C].

  Returns:
    sum_k pbar_k log pbar_k, a scalar from -log C, at the uniform mean, to 0.
  """
  chex.assert_rank(p, 2)
  mean = jnp.mean(p.astype(jnp.float32), axis=0)
  # At 0 the slope is infinite: a class that no row predicts takes none.
  return jnp.sum(mean * jnp.log(jnp.where(mean >= _TINY, mean, 1.0)))


def sinkhorn(scores: jax.Array, epsilon: float, iterations: int) -> jax.Array:
  """Assigns the rows evenly to the prototypes (SwAV section 3.1).

  In the order of SwAV's code: prototypes first, then rows. The code divides
  by K and M as well, which the next division by the rows' sums undoes.

  Args:
    scores: similarity of every row to every prototype [M, K]; takes no
      gradient.
    epsilon: weight of the entropy > 0; the smaller, the harder.
    iterations: >= 1.

  Returns:
    Rows of probabilities [M, K], whose columns tend to sums of M / K.
  """
  chex.assert_rank(scores, 2)
  chex.assert_scalar_positive(iterations)
  # In logarithms: exp(1 / 0.01) is more than float32 holds.
  logs = jax.lax.stop_gradient(scores.astype(jnp.float32)) / epsilon
  for _ in range(iterations):
    logs = jax.nn.log_softmax(logs, axis=0)
    logs = jax.nn.log_softmax(logs, axis=1)
  return jnp.exp(logs)
