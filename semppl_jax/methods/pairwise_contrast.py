"""Contrast between views of an image, the part that ReLICv2 and SemPPL share.

Every online view is compared with every target view of its image, among a few
other images of the batch; a divergence keeps the two sides of a pair alike
(Tomasev et al., arXiv 2201.05119; Bosnjak et al., arXiv 2301.05158).
"""

from collections.abc import Callable, Iterator
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, Float32, Int32, Key
import ml_collections

from semppl_jax.config.constraints import (
  Constraints,
  COUNT,
  must,
  NON_NEGATIVE,
  POSITIVE,
)
from semppl_jax.losses import contrastive
from semppl_jax.methods.base import Inputs, MethodContext
from semppl_jax.runtime import mesh as mesh_lib


class NegativeLogits(NamedTuple):
  """Logits of the negatives [B, V, L, M], M per pair.

  Attributes:
    own: of anchor o_i against view j of the negatives, at pair (i, j).
    partner: the same images in the pair that (i, j) is compared with.
  """

  own: Float32[Array, 'B V L M']
  partner: Float32[Array, 'B V L M']


# `(positive [B, L, P, D], weight [B]) -> (contrast, invariance)`, scalars.
PairLosses = Callable[[Array, Array], tuple[Array, Array]]


class Contrast(NamedTuple):
  """The contrast of a step.

  Attributes:
    online: unit predictions [B, V, D].
    target: unit targets [B, L, D], in the type of the convolutions and whole on
      every device.
    augmentation: contrast and invariance with the target's own views as
      positives, scalars.
    pair_losses: contrast and invariance of other positives, with the same
      negatives.
  """

  online: Float32[Array, 'B V D']
  target: Float[Array, 'B L D']
  augmentation: tuple[Float32[Array, ''], Float32[Array, '']]
  pair_losses: PairLosses


def make_contrast(
  fields: ml_collections.ConfigDict,
  config: ml_collections.ConfigDict,
  context: MethodContext,
) -> Callable[[Inputs, Key[Array, '']], Contrast]:
  """Builds the contrast of `config.semppl` or `config.relicv2`.

  Args:
    fields: which of the two.
    config: the whole config.
    context: devices and sizes of the run.

  Returns:
    `(Inputs, key) -> Contrast`; the key draws the negatives.
  """
  large, small = config.views.large.count, config.views.small.count
  dtype = jnp.dtype(config.network.precision)
  replicated = mesh_lib.replicated(context.mesh)
  negative_logits = _negative_logits_fn(fields, large + small, context.mesh)
  losses = functools.partial(
    _losses,
    pairs=_pair_mask(large, small, fields.include_same_view),
    invariance=contrastive.INVARIANCE[fields.invariance],
  )

  def contrast(inputs: Inputs, key: Key[Array, '']) -> Contrast:
    assert inputs.target is not None and inputs.online.prediction is not None
    assert inputs.target.projection is not None
    online = contrastive.normalize(inputs.online.prediction)
    own = contrastive.normalize(inputs.target.projection)
    # Gathered once, in the compute type (choice: half the bytes on a pod);
    # everything below reads this copy, so all see the same rounding.
    own = jax.lax.stop_gradient(own).astype(dtype)
    target = jax.lax.with_sharding_constraint(own, replicated)
    negative = negative_logits(key, online, target, inputs.batch.index)

    def pair_losses(positive: Array, weight: Array) -> tuple[Array, Array]:
      logits = contrastive.view_logits(online, positive, fields.temperature)
      return losses(logits, negative, weight)

    weight = jnp.ones(online.shape[0], jnp.float32)
    augmentation = pair_losses(own[:, :, None], weight)
    return Contrast(online, target, augmentation, pair_losses)

  return contrast


def sample_negatives(
  key: Key[Array, ''],
  index: Int32[Array, 'B'],
  count: int,
  mesh: Mesh,
  pairs: tuple[int, ...] = (),
) -> Int32[Array, 'B *pairs M']:
  """Draws other rows for each row, uniformly without replacement.

  Rows that hold the same image, which a batch across the end of an epoch can
  have, are drawn only when nothing else is left.

  Args:
    key: random key.
    index: identity of each row [B].
    count: M, at most B - 1.
    mesh: the devices; each draws for its own rows.
    pairs: leading axes of independent draws after B.

  Returns:
    Rows [B, *pairs, M].

  Example:
    >>> key, mesh = jax.random.key(0), Mesh(jax.devices()[:1], ('data',))
    >>> sample_negatives(key, jnp.array([7, 8]), 1, mesh).tolist()
    [[1], [0]]
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


def _negative_logits_fn(
  fields: ml_collections.ConfigDict, views: int, mesh: Mesh
) -> Callable[..., NegativeLogits]:
  """Returns `(key, online, target, index [B]) -> NegativeLogits`.

  `negatives='shared'` draws once per image and step for all pairs, `'per_pair'`
  anew for every pair (the sources do not say).
  """
  count, temperature = fields.num_negatives, fields.temperature

  def shared(key, online, target, index):
    chosen = sample_negatives(key, index, count, mesh)
    negative = jnp.swapaxes(target[chosen], 1, 2)  # [B, L, M, D]
    own = contrastive.view_logits(online, negative, temperature)
    return NegativeLogits(own, contrastive.partner(own))

  def per_pair(key, online, target, index):
    large = target.shape[1]
    i, j = jnp.meshgrid(
      jnp.arange(views), jnp.arange(large), indexing='ij'
    )  # [V, L]
    chosen = sample_negatives(key, index, count, mesh, (views, large))

    def logits(view, target_view):
      return contrastive.pair_logits(
        online[:, view], target[chosen, target_view[..., None]], temperature
      )

    partner_view = jnp.where(i < large, i, j)
    return NegativeLogits(logits(i, j), logits(j, partner_view))

  return {'shared': shared, 'per_pair': per_pair}[fields.negatives]


def _pair_mask(large: int, small: int, include_same_view: bool) -> Array:
  """Returns 1 for pairs (online i, target j) that count, else 0 [V, L]."""
  same = jnp.eye(large + small, large, dtype=jnp.float32)
  return jnp.ones_like(same) if include_same_view else 1.0 - same


def _losses(
  positive: Array,
  negative: NegativeLogits,
  weight: Array,
  *,
  pairs: Array,
  invariance: Callable[[Array, Array], Array],
) -> tuple[Array, Array]:
  """Computes the contrastive term and the invariance penalty.

  For a large view i the pair (i, j) is compared with (j, i), with the gradient
  through the latter; for a small i, (j, j) is the one without gradient.

  Args:
    positive: logits of the positives [B, V, L, P].
    negative: logits of the negatives of each pair and of its partner.
    weight: 1 for rows that count, else 0 [B].
    pairs: 1 for pairs that count, else 0 [V, L].
    invariance: divergence of (stopped, trained) log-probabilities.

  Returns:
    Two scalars: mean -log p, and the mean invariance.
  """
  large = positive.shape[2]
  own = contrastive.log_probability(positive, negative.own)
  other = contrastive.log_probability(
    contrastive.partner(positive), negative.partner
  )
  stopped = jnp.concatenate([own[:, :large], other[:, large:]], axis=1)
  trained = jnp.concatenate([other[:, :large], own[:, large:]], axis=1)
  return (
    -contrastive.pair_mean(own[..., 0], weight, pairs),
    contrastive.pair_mean(invariance(stopped, trained), weight, pairs),
  )


def constraints(name: str) -> Constraints:
  """Returns the constraints on `config.<name>` that both methods share."""
  return Constraints(
    ranges={
      f'{name}.temperature': POSITIVE,
      f'{name}.contrast_weight': NON_NEGATIVE,
      f'{name}.invariance_weight': NON_NEGATIVE,
      f'{name}.num_negatives': COUNT,
    },
    choices={
      f'{name}.invariance': tuple(contrastive.INVARIANCE),
      f'{name}.negatives': ('shared', 'per_pair'),
    },
  )


def problems(config: ml_collections.ConfigDict, name: str) -> Iterator[str]:
  """Yields a sentence for each field of `config.<name>` that cannot work."""
  s, size = config[name], config.batch_size
  if not s.include_same_view and (
    config.views.large.count == 1 and not config.views.small.count
  ):
    yield must(
      config,
      f'{name}.include_same_view',
      'be True where there is one view, which has no other to compare with',
    )
  if s.num_negatives >= size:
    yield must(
      config,
      f'{name}.num_negatives',
      f'be below batch_size={size}, as negatives are other images',
    )
