"""Contrastive losses over a whole batch: NT-Xent and SuNCEt.

Sources: SimCLR (Chen et al., arXiv 2002.05709) and SuNCEt (Assran et al., arXiv
2006.10803). Embeddings need not be normalized. Under `jit`, a sum over sharded
rows is one over all devices, and each device holds the logits of its own
anchors only.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Int32

from semppl_jax.losses.contrastive import EXACT, normalize


def nt_xent(
  projection: Float[Array, 'B 2 D'], temperature: float
) -> Float32[Array, '']:
  """NT-Xent of two views per image against 2B - 2 negatives (SimCLR eq. 1).

  Args:
    projection: two views of every image [B, 2, D].
    temperature: tau > 0.

  Returns:
    The mean over the 2B anchors, a scalar.

  Example:
    >>> two_images = jnp.repeat(jnp.eye(2)[:, None], 2, axis=1)
    >>> round(nt_xent(two_images, 1.0).item(), 4)  # log(e + 2) - 1
    0.5514
  """
  z = normalize(projection)
  # Views of an image stay neighbors: with all first views before all second
  # ones, rows would move between the devices.
  rows = z.reshape(-1, z.shape[-1])
  logits = jnp.einsum('md,nd->mn', rows, rows, precision=EXACT) / temperature
  others = jnp.where(jnp.eye(len(rows), dtype=bool), -jnp.inf, logits)
  # Both anchors of an image have the same positive.
  positive = jnp.sum(z[:, 0] * z[:, 1], axis=-1) / temperature
  return jnp.mean(jax.nn.logsumexp(others, axis=-1)) - jnp.mean(positive)


def suncet(
  embedding: Float[Array, 'S D'], label: Int32[Array, 'S'], temperature: float
) -> Float32[Array, '']:
  """SuNCEt of labelled embeddings (arXiv 2006.10803 eq. 1).

  A row without another of its class is a negative of the other rows, but no
  anchor.

  Args:
    embedding: labelled embeddings [S, D].
    label: classes [S]; rows below 0 are left out altogether.
    temperature: tau > 0.

  Returns:
    The mean over the anchors, a scalar; 0 where there is none.

  Example:
    >>> x = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> round(suncet(x, jnp.array([4, 4, 7]), 1.0).item(), 4)  # log(1 + 1/e)
    0.3133
  """
  z = normalize(embedding)
  logits = jnp.einsum('md,nd->mn', z, z, precision=EXACT) / temperature
  other = ~jnp.eye(len(z), dtype=bool) & (label >= 0)[None, :]
  same = other & (label[:, None] == label[None, :])
  is_anchor = jnp.any(same, axis=-1)
  each = _masked_logsumexp(logits, other, is_anchor)
  each -= _masked_logsumexp(logits, same, is_anchor)
  total = jnp.sum(jnp.where(is_anchor, each, 0.0))
  return total / jnp.maximum(jnp.sum(is_anchor, dtype=jnp.float32), 1.0)


def _masked_logsumexp(logits: Array, mask: Array, counted: Array) -> Array:
  # Rows that do not count keep all entries: the logarithm of an empty sum has
  # a NaN in its gradient, and a `where` around the result comes too late.
  mask = mask | ~counted[:, None]
  return jax.nn.logsumexp(jnp.where(mask, logits, -jnp.inf), axis=-1)
