"""Losses of whole embeddings: contrasts over a batch and BYOL's regression.

Sources: SimCLR (Chen et al., arXiv 2002.05709), SuNCEt (Assran et al., arXiv
2006.10803) and BYOL (Grill et al., arXiv 2006.07733). Pure mathematics, all
in float32; embeddings need not be normalised. Nothing here knows of devices:
under `jit`, a sum over sharded rows is one over all devices, and each device
holds the logits of its own anchors only.
"""

import chex
import jax
import jax.numpy as jnp

from semppl_jax.losses.contrastive import EXACT, normalize


def nt_xent(projection: jax.Array, temperature: float) -> jax.Array:
  """NT-Xent, each image's two views against 2B - 2 others (SimCLR eq. 1).

  Args:
    projection: two views of every image [B, 2, D].
    temperature: tau > 0.

  Returns:
    The mean over the 2B anchors, a scalar.
  """
  chex.assert_shape(projection, (None, 2, None))
  z = normalize(projection)
  # Views of an image stay neighbours: with all first views before all second
  # ones, rows would move between the devices.
  logits = _similarity(z.reshape(-1, z.shape[-1])) / temperature
  others = jnp.where(_itself(logits), -jnp.inf, logits)
  # Both anchors of an image have the same positive.
  positive = jnp.sum(z[:, 0] * z[:, 1], axis=-1) / temperature
  return jnp.mean(jax.nn.logsumexp(others, axis=-1)) - jnp.mean(positive)


def suncet(
  embedding: jax.Array, label: jax.Array, temperature: float
) -> jax.Array:
  """SuNCEt of labelled embeddings (arXiv 2006.10803 eq. 1).

  A row alone in its class has no positive: it is no anchor, but a negative of
  the other rows.

  Args:
    embedding: [S, D].
    label: classes [S], int32; a row below 0 is left out altogether.
    temperature: tau > 0.

  Returns:
    The mean over the anchors, a scalar; 0 where there is none.
  """
  chex.assert_rank([embedding, label], [2, 1])
  chex.assert_equal_shape_prefix([embedding, label], 1)
  chex.assert_type(label, jnp.int32)
  logits = _similarity(normalize(embedding)) / temperature
  other = ~_itself(logits) & (label >= 0)[None, :]
  same = other & (label[:, None] == label[None, :])
  counted = jnp.any(same, axis=-1)
  each = _masked_logsumexp(logits, other, counted)
  each -= _masked_logsumexp(logits, same, counted)
  total = jnp.sum(jnp.where(counted, each, 0.0))
  return total / jnp.maximum(jnp.sum(counted, dtype=jnp.float32), 1.0)


def regression(prediction: jax.Array, target: jax.Array) -> jax.Array:
  """BYOL's 2 - 2 cos of view i's prediction and view j's target (eq. 2).

  Args:
    prediction: online views [B, V, D], the L large views first.
    target: projections of the large views [B, L, D]; takes no gradient.

  Returns:
    The sum over ordered pairs i != j of the batch's mean, a scalar.
  """
  chex.assert_rank([prediction, target], 3)
  chex.assert_equal_shape([prediction, target], dims=(0, 2))
  online = normalize(prediction)
  fixed = jax.lax.stop_gradient(normalize(target))
  total = jnp.einsum('bvd,bld->vl', online, fixed, precision=EXACT)
  pairs = 1.0 - jnp.eye(*total.shape, dtype=jnp.float32)
  return jnp.sum((2.0 - 2.0 * total / online.shape[0]) * pairs)


def _similarity(z: jax.Array) -> jax.Array:
  return jnp.einsum('md,nd->mn', z, z, precision=EXACT)


def _itself(logits: jax.Array) -> jax.Array:
  return jnp.eye(logits.shape[0], dtype=bool)


def _masked_logsumexp(
  logits: jax.Array, mask: jax.Array, counted: jax.Array
) -> jax.Array:
  # Rows that do not count keep all entries: the logarithm of an empty sum has
  # a NaN in its gradient, and a `where` around the result comes too late.
  kept = mask | ~counted[:, None]
  return jax.nn.logsumexp(jnp.where(kept, logits, -jnp.inf), axis=-1)
