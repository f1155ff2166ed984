"""The network over views: encoder, projector, predictor and what classifies.

Views of one size pass the network in one call, as rows b * V + v: the
convolutions see a large batch, and rows split over devices by image stay where
they are. A support batch joins the views of the first size. Haiku ends at this
file; others see pure functions.
"""

from collections.abc import Callable, Sequence
import math
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import jmp

from semppl_jax.losses.contrastive import EXACT, normalize
from semppl_jax.models import backbones, heads as heads_lib

Array = jax.Array
Params = Any
NetState = Any

HEADS = ('projector', 'predictor', 'prototypes', 'classifier')
CLASSIFIER_INPUTS = ('features', 'projector_hidden')
# Each stands on the one before it.
_CHAIN = ('projector', 'predictor')
_OUTPUT = {'projector': 'projection', 'predictor': 'prediction'}
# Heads that start from the projector's output.
_ON_PROJECTIONS = ('predictor', 'prototypes')
BN_GROUPS = ('view', 'resolution')
PRECISIONS = ('float32', 'bfloat16')


class Outputs(NamedTuple):
  """What the network makes of views, float32; V counts those of all sizes.

  Attributes:
    features: the encoder's output [B, V, F].
    projection: the projector's [B, V, D], or None without that head.
    prediction: the predictor's [B, V, D], or None without that head.
    scores: cosines to the prototypes [B, V, K], or None without that head.
    logits: the classifier's [B, V, C], or None without that head.
    support: the same of the support rows [S, v, ...], or None without them.
  """

  features: Array
  projection: Array | None = None
  prediction: Array | None = None
  scores: Array | None = None
  logits: Array | None = None
  support: 'Outputs | None' = None


class Network(NamedTuple):
  """Pure functions of one network.

  Views are a tuple with one array [B, V, H, W, 3] per size, normalised; one
  with V = 0 is skipped.

  Attributes:
    init: `(key, views) -> (params, state)`; float32.
    apply: `(params, state, views, is_training, support) -> (Outputs, state)`.
      Each size in turn updates the batch-norm averages in `state` (choice).
      `support` is None or [S, v, H, W, 3] of the first size, whose batch-norm
      statistics it shares.
    embed: `(params, state, images [B, H, W, 3]) -> Outputs` of one view
      (V = 1), by the batch-norm averages.
    select: `(tree) -> tree`, the part of another network's params or state that
      this network has: a target network has fewer heads.
  """

  init: Callable[[Array, Sequence[Array]], tuple[Params, NetState]]
  apply: Callable[..., tuple[Outputs, NetState]]
  embed: Callable[[Params, NetState, Array], Outputs]
  select: Callable[[Any], Any]


def make_network(
  config_network: Any,
  *,
  heads: tuple[str, ...],
  bn_groups: str,
  frozen: bool = False,
  shards: int = 1,
) -> Network:
  """Makes the network of `config.network` with the heads of a method.

  Args:
    config_network: `config.network`.
    heads: heads to carry, in the order of `HEADS`; a predictor needs a
      projector.
    bn_groups: `'view'`: each view has its own batch-norm statistics;
      `'resolution'`: the views of one size share them.
    frozen: train nothing but the classifier; all else runs by its batch-norm
      averages, which stay as they are, and passes no gradient.
    shards: parts that views and support are split into over the devices; each
      joins its own. Changes no number but for the order of a sum.

  Raises:
    ValueError: a value that is not allowed.
  """
  _check(config_network, heads, bn_groups)
  float32 = jnp.dtype('float32')
  full = jmp.Policy(float32, float32, float32)
  mixed = jmp.Policy(float32, jnp.dtype(config_network.precision), float32)
  # A layer takes the type of a new parameter from its input: hence `full`; and
  # only training makes the averages: hence not frozen.
  new = hk.transform_with_state(
    _forward(config_network, heads, bn_groups, False, full, shards)
  )
  trained = hk.transform_with_state(
    _forward(config_network, heads, bn_groups, frozen, mixed, shards)
  )

  def init(key, views):
    # Under jit nothing but the parameters is computed.
    return jax.jit(lambda *args: new.init(*args, True))(key, tuple(views))

  def apply(params, state, views, is_training, support=None):
    if support is not None and bn_groups != 'resolution':
      raise ValueError("A support batch needs bn_groups='resolution'.")
    return trained.apply(params, state, None, views, is_training, support)

  def embed(params, state, images):
    return apply(params, state, (images[:, None],), False)[0]

  absent = tuple(head for head in HEADS if head not in heads)

  def select(tree):
    return {k: v for k, v in tree.items() if k.split('/')[0] not in absent}

  return Network(init, apply, embed, select)


def _check(config: Any, heads: tuple[str, ...], bn_groups: str) -> None:
  backbones.check(config)
  if config.precision not in PRECISIONS:
    raise ValueError(
      f'network.precision is {config.precision!r}; it may be '
      f'{" or ".join(map(repr, PRECISIONS))}.'
    )
  ordered = tuple(head for head in HEADS if head in heads)
  floating = set(heads) & set(_ON_PROJECTIONS) and 'projector' not in heads
  if heads != ordered or floating:
    raise ValueError(
      f'heads is {heads!r}; it may be some of {HEADS}, in this order, and a'
      ' predictor and prototypes need a projector.'
    )
  if 'classifier' in heads:
    _check_classifier(config, heads)
  if bn_groups not in BN_GROUPS:
    raise ValueError(
      f'bn_groups is {bn_groups!r}; it may be '
      f'{" or ".join(map(repr, BN_GROUPS))}.'
    )


def _check_classifier(config: Any, heads: tuple[str, ...]) -> None:
  given = config.classifier.input
  if given not in CLASSIFIER_INPUTS:
    raise ValueError(
      f'network.classifier.input is {given!r}; it may be'
      f' {" or ".join(map(repr, CLASSIFIER_INPUTS))}.'
    )
  if given == 'projector_hidden' and 'projector' not in heads:
    raise ValueError(
      "network.classifier.input='projector_hidden' needs a projector, and the"
      f' heads are {heads}.'
    )
  if config.classifier.classes < 1:
    raise ValueError(
      f'network.classifier.classes is {config.classifier.classes}; a'
      ' classifier needs at least 1.'
    )


def _forward(
  config: Any,
  heads: tuple[str, ...],
  bn_groups: str,
  frozen: bool,
  policy: jmp.Policy,
  shards: int,
) -> Callable[..., Outputs]:
  """Returns the network as a function for `hk.transform_with_state`."""

  def forward(views, is_training, support=None):
    encoder = backbones.make(config)
    mlps = {h: heads_lib.perceptron(config, h) for h in _CHAIN if h in heads}
    prototypes = heads_lib.prototypes(config) if 'prototypes' in heads else None
    classifier = heads_lib.classifier(config) if 'classifier' in heads else None
    body_trains = is_training and not frozen

    def rows(x, groups):
      """Outputs of images [N, H, W, 3], as a table from name to [N, ...]."""
      x = policy.cast_to_compute(x)
      with hk.custom_getter(_cast_weights(policy)):
        y = encoder(x, body_trains, groups)
      made = {'features': policy.cast_to_output(y)}
      last = made['features']
      for name, mlp in mlps.items():
        last, hidden = mlp(last, body_trains, groups)
        made[_OUTPUT[name]] = last
        if name == 'projector':
          made['projector_hidden'] = hidden
      if prototypes is not None:
        unit = normalize(made['projection'])
        made['scores'] = prototypes(unit, precision=EXACT)
      if frozen:
        made = jax.lax.stop_gradient(made)
      if classifier is not None:
        made['logits'] = classifier(made[config.classifier.input])
      made.pop('projector_hidden', None)
      return made

    def one_size(x):
      groups = x.shape[1] if bn_groups == 'view' else 1
      return _unflatten(rows(_flatten(x), groups), x)

    def first_size(x, support):
      joined = _join(_flatten(x), _flatten(support), shards)
      made = rows(joined, 1)
      own = math.prod(x.shape[:2])
      pairs = {k: _split(y, own, shards) for k, y in made.items()}
      own, other = ({k: y[n] for k, y in pairs.items()} for n in (0, 1))
      return _unflatten(own, x), _unflatten(other, support)

    first, *rest = (x for x in views if x.shape[1])
    beside = None
    if support is None:
      first = one_size(first)
    else:
      first, beside = first_size(first, support)
    parts = [first, *(one_size(x) for x in rest)]
    joined = jax.tree.map(lambda *x: jnp.concatenate(x, axis=1), *parts)
    return joined._replace(support=beside)

  return forward


def _flatten(views: Array) -> Array:
  """Rows [B V, ...] of views [B, V, ...]."""
  return views.reshape(-1, *views.shape[2:])


def _unflatten(made: dict[str, Any], views: Array) -> Outputs:
  """Outputs [B, V, ...] of rows [B V, ...]."""
  shape = views.shape[:2]
  return Outputs(
    **{k: y.reshape(*shape, *y.shape[1:]) for k, y in made.items()}
  )


def _join(x: Array, y: Array, shards: int) -> Array:
  """Puts rows of two arrays together, each device its own: no copy moves."""
  parts = [z.reshape(shards, -1, *z.shape[1:]) for z in (x, y)]
  return _flatten(jnp.concatenate(parts, axis=1))


def _split(joined: Array, first: int, shards: int) -> tuple[Array, Array]:
  """Takes apart what `_join` made, `first` rows of its first array."""
  parts = joined.reshape(shards, -1, *joined.shape[1:])
  own = first // shards
  return _flatten(parts[:, :own]), _flatten(parts[:, own:])


def _cast_weights(policy: jmp.Policy) -> Callable[..., Array]:
  """Casts the parameters of convolutions, but not those of batch norms."""

  def getter(next_getter, value, context):
    value = next_getter(value)
    if context.name in ('w', 'b'):
      return policy.cast_to_compute(value)
    return value

  return getter
