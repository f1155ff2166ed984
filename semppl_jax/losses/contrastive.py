"""Contrastive losses between views, with a few negatives per anchor.

Sources: SemPPL (Bosnjak et al., ICLR 2023, arXiv 2301.05158) and ReLICv2
(Tomasev et al., arXiv 2201.05119). Log-probabilities hold the positive first
and then the M negatives on an axis of T = 1 + M entries, so that one softmax
serves the likelihood and the divergence.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

EXACT = jax.lax.Precision.HIGHEST


def normalize(x: Float[Array, '*rows D']) -> Float32[Array, '*rows D']:
  """Scales the last axis to unit length, in float32; zero stays zero.

  Args:
    x: vectors [..., D].

  Returns:
    Unit vectors [..., D].

  Example:
    >>> normalize(jnp.array([[3.0, 0.0], [0.0, 0.0]])).tolist()
    [[1.0, 0.0], [0.0, 0.0]]
  """
  x = x.astype(jnp.float32)
  square = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
  return x * jax.lax.rsqrt(jnp.maximum(square, 1e-12))


def view_logits(
  anchor: Float32[Array, 'B V D'],
  other: Float[Array, 'B L P D'],
  temperature: float,
) -> Float32[Array, 'B V L P']:
  """Similarity of every anchor view to P embeddings per target view, over tau.

  Args:
    anchor: unit online embeddings [B, V, D].
    other: unit embeddings of positives or of shared negatives [B, L, P, D].
    temperature: tau > 0.

  Returns:
    Logits [B, V, L, P].

  Example:
    >>> view_logits(jnp.ones((1, 1, 2)), jnp.ones((1, 1, 1, 2)), 0.5).item()
    4.0
  """
  # Embeddings may be stored in bfloat16; logits must not be computed in it.
  other = other.astype(jnp.float32)
  dots = jnp.einsum('bvd,blpd->bvlp', anchor, other, precision=EXACT)
  return dots / temperature


def pair_logits(
  anchor: Float32[Array, 'B V L D'],
  other: Float[Array, 'B V L M D'],
  temperature: float,
) -> Float32[Array, 'B V L M']:
  """Similarity of anchors to negatives drawn for each pair of views, over tau.

  Args:
    anchor: unit online embedding of each pair [B, V, L, D].
    other: unit embeddings of the negatives of each pair [B, V, L, M, D].
    temperature: tau > 0.

  Returns:
    Logits [B, V, L, M].

  Example:
    >>> one = jnp.ones((1, 1, 1, 1))
    >>> pair_logits(one, one[..., None], 0.5).item()
    2.0
  """
  other = other.astype(jnp.float32)
  dots = jnp.einsum('bvld,bvlnd->bvln', anchor, other, precision=EXACT)
  return dots / temperature


def log_probability(
  positive: Float32[Array, 'B V L P'], negative: Float32[Array, 'B V L M']
) -> Float32[Array, 'B V L P 1+M']:
  """Log-softmax of each positive against its negatives (SemPPL eq. 1).

  Args:
    positive: logits [B, V, L, P].
    negative: logits [B, V, L, M], shared by the P positives.

  Returns:
    Log-probabilities [B, V, L, P, 1 + M], the positive first.

  Example:
    >>> logits = jnp.ones((1, 1, 1, 1)), jnp.ones((1, 1, 1, 3))
    >>> jnp.exp(log_probability(*logits)).ravel().tolist()
    [0.25, 0.25, 0.25, 0.25]
  """
  shape = positive.shape + negative.shape[-1:]
  repeated = jnp.broadcast_to(negative[..., None, :], shape)
  logits = jnp.concatenate([positive[..., None], repeated], axis=-1)
  return jax.nn.log_softmax(logits, axis=-1)


def log_ratio(
  stopped: Float32[Array, '*pairs T'], trained: Float32[Array, '*pairs T']
) -> Float32[Array, '*pairs']:
  """Log-likelihood ratio of the positive between two views.

  Its value is the difference of two log-likelihoods, its gradient that of a
  contrastive term on `trained` (the log-ratio form of SemPPL's invariance).

  Args:
    stopped: log-probabilities [..., 1 + M]; takes no gradient.
    trained: log-probabilities [..., 1 + M] of the other view.

  Returns:
    Ratios [...].

  Example:
    >>> log_ratio(jnp.array([-1.0, -2.0]), jnp.array([-3.0, -4.0])).item()
    2.0
  """
  return jax.lax.stop_gradient(stopped[..., 0]) - trained[..., 0]


def kl_divergence(
  stopped: Float32[Array, '*pairs T'], trained: Float32[Array, '*pairs T']
) -> Float32[Array, '*pairs']:
  """KL(stopped || trained) over positive and negatives (ReLICv2 eq. 3).

  Args:
    stopped: log-probabilities [..., 1 + M]; takes no gradient.
    trained: log-probabilities [..., 1 + M] of the other view.

  Returns:
    Divergences [...], at least 0.

  Example:
    >>> p, q = jnp.array([0.5, 0.5]), jnp.array([0.25, 0.75])
    >>> round(kl_divergence(jnp.log(p), jnp.log(q)).item(), 4)
    0.1438
  """
  stopped = jax.lax.stop_gradient(stopped)
  return jnp.sum(jnp.exp(stopped) * (stopped - trained), axis=-1)


INVARIANCE = {'log_ratio': log_ratio, 'kl': kl_divergence}


def partner(x: Float[Array, 'B V L *rest']) -> Float[Array, 'B V L *rest']:
  """Reorders pairs (i, j) as (j, i), or as (j, j) for a small view i.

  Args:
    x: a quantity of every pair [B, V, L, ...], the L large views first.

  Returns:
    The same shape; entry (i, j) is that of the pair (i, j) is compared with.

  Example:
    >>> partner(jnp.array([[[0.0, 1.0], [10.0, 11.0], [20.0, 21.0]]])).tolist()
    [[[0.0, 10.0], [1.0, 11.0], [0.0, 11.0]]]
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


def pair_mean(
  x: Float32[Array, 'B V L P'],
  weight: Float32[Array, 'B'],
  pairs: Float32[Array, 'V L'],
) -> Float32[Array, '']:
  """Mean over weighted rows, counted pairs and positives.

  Args:
    x: values [B, V, L, P].
    weight: 1 for rows that count, else 0 [B].
    pairs: 1 for pairs (i, j) that count, else 0 [V, L].

  Returns:
    A scalar; 0 where no row counts.

  Example:
    >>> x = jnp.array([1.0, 3.0]).reshape(2, 1, 1, 1)
    >>> pair_mean(x, jnp.array([0.0, 1.0]), jnp.ones((1, 1))).item()
    3.0
  """
  rows = jnp.einsum('bvlp,b->vl', x, weight, precision=EXACT)
  total = jnp.sum(rows * pairs) / x.shape[-1]
  return total / (jnp.maximum(jnp.sum(weight), 1.0) * jnp.sum(pairs))
