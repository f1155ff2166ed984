"""Contrast between views of an image: what ReLICv2 and SemPPL share.

Every online view is held against every target view of its image, among a few
other images of the batch; a divergence keeps what the two of a pair make of
them alike (Tomasev et al., arXiv 2201.05119; Bosnjak et al., arXiv 2301.05158).
"""

from collections.abc import Callable, Iterator
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections

from semppl_jax.config.constraints import (
  Constraints,
  COUNT,
  must,
  NON_NEGATIVE,
  POSITIVE,
)
from semppl_jax.losses import contrastive
from semppl_jax.methods import negatives as negatives_lib
from semppl_jax.methods.base import Inputs, Setting
from semppl_jax.runtime import mesh as mesh_lib


class Anchors(NamedTuple):
  """The unit embeddings of a step.

  Attributes:
    online: predictions [B, V, D], float32.
    target: targets [B, L, D], in the type of the convolutions.
    everyone: the same, whole on every device.
  """

  online: jax.Array
  target: jax.Array
  everyone: jax.Array


# `(positive [B, L, P, D], weight [B]) -> (contrast, invariance)`, scalars.
Terms = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]


class ViewPairs(NamedTuple):
  """Pure functions of one config.

  Attributes:
    embed: `Inputs -> Anchors`.
    against: `(Anchors, index [B], key) -> Terms` with negatives of one draw.
  """

  embed: Callable[[Inputs], Anchors]
  against: Callable[[Anchors, jax.Array, jax.Array], Terms]


def make(
  fields: ml_collections.ConfigDict,
  config: ml_collections.ConfigDict,
  setting: Setting,
) -> ViewPairs:
  """Builds the contrast of `config.semppl` or `config.relicv2`.

  Args:
    fields: which of the two.
    config: the whole config.
    setting: where it runs.
  """
  large, small = config.views.large.count, config.views.small.count
  dtype = jnp.dtype(config.network.precision)
  draw_negatives = negatives_lib.make(fields, large + small, setting.mesh)
  contrast = functools.partial(
    _contrast,
    pairs=_pairs(large, small, fields.include_same_view),
    invariance=contrastive.INVARIANCE[fields.invariance],
  )

  def embed(inputs: Inputs) -> Anchors:
    assert inputs.target is not None and inputs.online.prediction is not None
    assert inputs.target.projection is not None
    o = contrastive.normalize(inputs.online.prediction)
    t = jax.lax.stop_gradient(contrastive.normalize(inputs.target.projection))
    # Gathered once, in the compute type (choice: half the bytes on a pod);
    # everything below reads this copy, so all see the same rounding.
    t = t.astype(dtype)
    whole = mesh_lib.replicated(setting.mesh)
    return Anchors(o, t, jax.lax.with_sharding_constraint(t, whole))

  def against(anchors: Anchors, index: jax.Array, key: jax.Array) -> Terms:
    negative = draw_negatives(
      key, anchors.online, anchors.everyone, index, fields.temperature
    )

    def terms(positive, weight):
      logits = contrastive.view_logits(
        anchors.online, positive, fields.temperature
      )
      return contrast(logits, negative, weight)

    return terms

  return ViewPairs(embed, against)


def of_views(terms: Terms, anchors: Anchors) -> tuple[jax.Array, jax.Array]:
  """Contrast and invariance whose positives are the target's own views."""
  rows = anchors.online.shape[0]
  return terms(anchors.target[:, :, None], jnp.ones(rows, jnp.float32))


def _pairs(large: int, small: int, include_same_view: bool) -> jax.Array:
  """Which pairs (online view i, target view j) count, float32 [V, L]."""
  same = jnp.eye(large + small, large, dtype=jnp.float32)
  return jnp.ones_like(same) if include_same_view else 1.0 - same


def _contrast(
  positive: jax.Array,
  negative: negatives_lib.NegativeLogits,
  weight: jax.Array,
  *,
  pairs: jax.Array,
  invariance,
) -> tuple[jax.Array, jax.Array]:
  """Contrastive term and invariance penalty of one kind of positives.

  For a large view i the pair (i, j) is held against (j, i), with the gradient
  through the latter; for a small i, (j, j) is the one without gradient.

  Args:
    positive: logits of the positives [B, V, L, P].
    negative: logits of the negatives of each pair and of its partner.
    weight: rows that count [B], float32.
    pairs: pairs that count [V, L], float32.
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


def fields(name: str) -> Constraints:
  """What the fields of `config.<name>` may be that the two methods share."""
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
  """Yields a sentence for each field of `config.<name>` that does not fit."""
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
