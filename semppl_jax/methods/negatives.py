"""Negatives of a batch: a few other images per anchor, without replacement."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
import ml_collections

from semppl_jax.losses import contrastive
from semppl_jax.runtime import mesh as mesh_lib


class NegativeLogits(NamedTuple):
  """Logits of the negatives [B, V, L, M], M per pair.

  Attributes:
    own: of anchor o_i against view j of the negatives, at pair (i, j).
    partner: the same images, seen from the pair that (i, j) is held against.
  """

  own: jax.Array
  partner: jax.Array


def draw(
  key: jax.Array,
  index: jax.Array,
  count: int,
  mesh: Mesh,
  pairs: tuple[int, ...] = (),
) -> jax.Array:
  """Draws `count` other rows for each row, uniformly without replacement.

  Rows that hold the same image, which a batch across the end of an epoch can
  have, are taken only when nothing else is left.

  Args:
    key: random key.
    index: identity of each row [B], int32.
    count: M, at most B - 1.
    mesh: the devices; each draws for its own rows.
    pairs: leading axes of independent draws after B.

  Returns:
    Rows [B, *pairs, M], int32.
  """
  rows = index.shape[0]
  # Without the constraint every device would draw and sort for all B rows.
  score = jax.lax.with_sharding_constraint(
    jax.random.uniform(key, (rows, *pairs, rows)), mesh_lib.sharded(mesh)
  )
  same_image = index[:, None] == index[None, :]
  penalty = jnp.where(same_image, 1.0, 0.0) + jnp.eye(rows, dtype=jnp.float32)
  score -= penalty.reshape((rows,) + (1,) * len(pairs) + (rows,))
  return jax.lax.top_k(score, count)[1]


def make(config: ml_collections.ConfigDict, views: int, mesh: Mesh) -> Callable:
  """Returns a function that draws negatives and computes their logits.

  Args:
    config: `config.semppl`; `negatives='shared'` draws once per image and step
      for all pairs, `'per_pair'` anew for every pair (the sources do not say).
    views: V, online views.
    mesh: the devices.

  Returns:
    `(key, anchor [B, V, D], target [B, L, D], index [B], temperature) ->
    NegativeLogits`, the target being the whole batch on every device.
  """
  count = config.num_negatives

  def shared(key, anchor, target, index, temperature) -> NegativeLogits:
    chosen = draw(key, index, count, mesh)
    negative = jnp.swapaxes(target[chosen], 1, 2)  # [B, L, M, D]
    own = contrastive.shared_negative_logits(anchor, negative, temperature)
    return NegativeLogits(own, contrastive.partner(own))

  def per_pair(key, anchor, target, index, temperature) -> NegativeLogits:
    large = target.shape[1]
    i, j = jnp.meshgrid(
      jnp.arange(views), jnp.arange(large), indexing='ij'
    )  # [V, L]
    chosen = draw(key, index, count, mesh, (views, large))
    swap = i < large
    seen_anchor, seen_view = j, jnp.where(swap, i, j)

    def logits(view, target_view):
      return contrastive.paired_negative_logits(
        anchor[:, view], target[chosen, target_view[..., None]], temperature
      )

    return NegativeLogits(logits(i, j), logits(seen_anchor, seen_view))

  return {'shared': shared, 'per_pair': per_pair}[config.negatives]
