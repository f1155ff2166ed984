"""Contrastive losses on embeddings: pure mathematics, all in float32.

Sources: SemPPL (Bosnjak et al., ICLR 2023, arXiv 2301.05158) and ReLICv2
(Tomasev et al., arXiv 2201.05119). Every function takes logits or
log-probabilities whose last axis holds the positive first, then the
negatives, so that one softmax serves the likelihood and the divergence.
"""

import chex
import jax
import jax.numpy as jnp

EXACT = jax.lax.Precision.HIGHEST


def normalize(x: jax.Array, epsilon: float = 1e-12) -> jax.Array:
  """Scales the last axis to unit length, in float32; zero stays zero."""
  x = x.astype(jnp.float32)
  square = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
  return x * jax.lax.rsqrt(jnp.maximum(square, epsilon))


def positive_logits(
  anchor: jax.Array, positive: jax.Array, temperature: float
) -> jax.Array:
  """Similarity of every anchor view to every positive over tau.

  Args:
    anchor: unit online embeddings [B, V, D], float32.
    positive: unit embeddings [B, L, P, D], P positives per target view.
    temperature: tau > 0.

  Returns:
    Logits [B, V, L, P].
  """
  chex.assert_rank([anchor, positive], [3, 4])
  return _dots('bvd,blpd->bvlp', anchor, positive, temperature)


def shared_negative_logits(
  anchor: jax.Array, negative: jax.Array, temperature: float
) -> jax.Array:
  """Logits [B, V, L, M] of M negatives [B, L, M, D] shared by all views."""
  chex.assert_rank([anchor, negative], [3, 4])
  return _dots('bvd,blnd->bvln', anchor, negative, temperature)


def paired_negative_logits(
  anchor: jax.Array, negative: jax.Array, temperature: float
) -> jax.Array:
  """Logits [B, V, L, M] of negatives [B, V, L, M, D] drawn for each pair."""
  chex.assert_rank([anchor, negative], [4, 5])
  return _dots('bvld,bvlnd->bvln', anchor, negative, temperature)


def _dots(
  spec: str, anchor: jax.Array, other: jax.Array, temperature: float
) -> jax.Array:
  chex.assert_type(anchor, jnp.float32)
  other = other.astype(jnp.float32)
  return jnp.einsum(spec, anchor, other, precision=EXACT) / temperature


def log_probability(positive: jax.Array, negative: jax.Array) -> jax.Array:
  """Log-softmax of each positive against its negatives (SemPPL eq. 1).

  Args:
    positive: logits [B, V, L, P].
    negative: logits [B, V, L, M], the same for the P positives.

  Returns:
    Log-probabilities [B, V, L, P, 1 + M], the positive's first.
  """
  chex.assert_equal_shape_prefix([positive, negative], 3)
  shape = positive.shape + negative.shape[-1:]
  spread = jnp.broadcast_to(negative[..., None, :], shape)
  logits = jnp.concatenate([positive[..., None], spread], axis=-1)
  return jax.nn.log_softmax(logits, axis=-1)


def log_ratio(stopped: jax.Array, trained: jax.Array) -> jax.Array:
  """Log-likelihood ratio of the positive between two views, [...].

  Its value is the difference of two likelihoods, its gradient that of a plain
  contrastive term on `trained` (SemPPL's invariance as the log-ratio form).

  Args:
    stopped: log-probabilities [..., 1 + M]; takes no gradient.
    trained: log-probabilities [..., 1 + M] of the other view.
  """
  chex.assert_equal_shape([stopped, trained])
  return jax.lax.stop_gradient(stopped[..., 0]) - trained[..., 0]


def kl_divergence(stopped: jax.Array, trained: jax.Array) -> jax.Array:
  """KL(stopped || trained) over positive and negatives, [...] (ReLICv2 eq. 3).

  Args:
    stopped: log-probabilities [..., 1 + M]; takes no gradient.
    trained: log-probabilities [..., 1 + M] of the other view.
  """
  chex.assert_equal_shape([stopped, trained])
  stopped = jax.lax.stop_gradient(stopped)
  return jnp.sum(jnp.exp(stopped) * (stopped - trained), axis=-1)


INVARIANCE = {'log_ratio': log_ratio, 'kl': kl_divergence}


def partner(x: jax.Array) -> jax.Array:
  """The other half of every pair (i, j): (j, i), or (j, j) for a small i.

  Args:
    x: a quantity of every pair [B, V, L, ...], the L large views first.

  Returns:
    The same shape, entry (i, j) taken from the view that i is compared with.
  """
  large = x.shape[2]
  swapped = jnp.swapaxes(x[:, :large], 1, 2)
  diagonal = jnp.diagonal(x[:, :large], axis1=1, axis2=2)
  diagonal = jnp.moveaxis(diagonal, -1, 1)[:, None]
  small = x.shape[1] - large
  repeated = jnp.broadcast_to(
    diagonal, (x.shape[0], small) + diagonal.shape[2:]
  )
  return jnp.concatenate([swapped, repeated], axis=1)


def pair_mean(x: jax.Array, weight: jax.Array, pairs: jax.Array) -> jax.Array:
  """Mean over weighted rows, kept pairs and positives, a scalar.

  Args:
    x: values [B, V, L, P].
    weight: 1 for rows that count, else 0, [B]; none at all gives 0.
    pairs: 1 for pairs (i, j) that count, else 0, [V, L].
  """
  chex.assert_rank([x, weight, pairs], [4, 1, 2])
  chex.assert_type([x, weight, pairs], jnp.float32)
  rows = jnp.einsum('bvlp,b->vl', x, weight, precision=EXACT)
  total = jnp.sum(rows * pairs) / x.shape[-1]
  return total / (jnp.maximum(jnp.sum(weight), 1.0) * jnp.sum(pairs))
