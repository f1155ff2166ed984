"""The network over views: encoder, projector, predictor.

Views of one size pass the network in one call, as rows b * V + v: the
convolutions see a large batch, and rows split over devices by image stay where
they are. Haiku ends at this file; others see pure functions.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import jmp

from semppl_jax import backbones
from semppl_jax.backbones.batch_norm import BatchNorm

Array = jax.Array
Params = Any
NetState = Any

HEADS = ('projector', 'predictor', 'classifier')
CLASSIFIER_INPUTS = ('features', 'projector_hidden')
# Each stands on the one before it.
_CHAIN = ('projector', 'predictor')
_OUTPUT = {'projector': 'projection', 'predictor': 'prediction'}
BN_GROUPS = ('view', 'resolution')
PRECISIONS = ('float32', 'bfloat16')


class Outputs(NamedTuple):
  """What the network makes of views, float32; V counts those of all sizes.

  Attributes:
    features: the encoder's output [B, V, F].
    projection: the projector's [B, V, D], or None without that head.
    prediction: the predictor's [B, V, D], or None without that head.
    logits: the classifier's [B, V, C], or None without that head.
  """

  features: Array
  projection: Array | None = None
  prediction: Array | None = None
  logits: Array | None = None


class Network(NamedTuple):
  """Pure functions of one network.

  Views are a tuple with one array [B, V, H, W, 3] per size, normalised; one
  with V = 0 is skipped.

  Attributes:
    init: `(key, views) -> (params, state)`; float32.
    apply: `(params, state, views, is_training) -> (Outputs, state)`. Each size
      in turn updates the batch-norm averages in `state` (choice).
    embed: `(params, state, images [B, H, W, 3]) -> Outputs` of one view
      (V = 1), by the batch-norm averages.
    select: `(tree) -> tree`, the part of another network's params or state that
      this network has: a target network has fewer heads.
  """

  init: Callable[[Array, Sequence[Array]], tuple[Params, NetState]]
  apply: Callable[
    [Params, NetState, Sequence[Array], bool], tuple[Outputs, NetState]
  ]
  embed: Callable[[Params, NetState, Array], Outputs]
  select: Callable[[Any], Any]


class Head(hk.Module):
  """A perceptron with batch norm: BYOL's and SemPPL's, or PAWS's deeper one.

  Always in float32: beside the convolutions it costs nothing, and embeddings
  rounded to bfloat16 would be compared with each other.
  """

  def __init__(
    self,
    widths: Sequence[int],
    decay_rate: float,
    eps: float,
    name: str,
    last_bias: bool = False,
  ):
    """Makes a head of hidden layers, and an output, of so many units."""
    super().__init__(name=name)
    self.widths, self.last_bias = tuple(widths), last_bias
    self.decay_rate, self.eps = decay_rate, eps

  def __call__(
    self, x: Array, is_training: bool, groups: int
  ) -> tuple[Array, Array]:
    """Maps [N, F] to its output [N, D] and its first hidden layer [N, H]."""
    *hidden, output = self.widths
    layers = []
    # Made here and not above: DeepMind's files name them `projector/linear`.
    for width in hidden:
      x = hk.Linear(width)(x)
      x = BatchNorm(self.decay_rate, self.eps)(x, is_training, groups)
      x = jax.nn.relu(x)
      layers.append(x)
    return hk.Linear(output, with_bias=self.last_bias)(x), layers[0]


def make_network(
  config_network: Any,
  *,
  heads: tuple[str, ...],
  bn_groups: str,
  frozen: bool = False,
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
    _forward(config_network, heads, bn_groups, False, full)
  )
  trained = hk.transform_with_state(
    _forward(config_network, heads, bn_groups, frozen, mixed)
  )

  def init(key, views):
    # Under jit nothing but the parameters is computed.
    return jax.jit(lambda *args: new.init(*args, True))(key, tuple(views))

  def apply(params, state, views, is_training):
    return trained.apply(params, state, None, views, is_training)

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
  if heads != ordered or ('predictor' in heads and 'projector' not in heads):
    raise ValueError(
      f'heads is {heads!r}; it may be some of {HEADS}, in this order, and a'
      ' predictor needs a projector.'
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
) -> Callable[[Sequence[Array], bool], Outputs]:
  """Returns the network as a function for `hk.transform_with_state`."""

  def forward(views, is_training):
    encoder = backbones.make(config)
    mlps = {h: _make_head(config, h) for h in _CHAIN if h in heads}
    classifier = _make_classifier(config) if 'classifier' in heads else None
    body_trains = is_training and not frozen

    def one_size(x):
      count = x.shape[1]
      groups = count if bn_groups == 'view' else 1
      x = policy.cast_to_compute(x.reshape(-1, *x.shape[2:]))
      with hk.custom_getter(_cast_weights(policy)):
        y = encoder(x, body_trains, groups)
      made = {'features': policy.cast_to_output(y)}
      last = made['features']
      for name, mlp in mlps.items():
        last, hidden = mlp(last, body_trains, groups)
        made[_OUTPUT[name]] = last
        if name == 'projector':
          made['projector_hidden'] = hidden
      if frozen:
        made = jax.lax.stop_gradient(made)
      if classifier is not None:
        made['logits'] = classifier(made[config.classifier.input])
      made.pop('projector_hidden', None)
      return Outputs(
        **{k: y.reshape(-1, count, y.shape[-1]) for k, y in made.items()}
      )

    parts = [one_size(x) for x in views if x.shape[1]]
    return jax.tree.map(lambda *x: jnp.concatenate(x, axis=1), *parts)

  return forward


def _make_head(config: Any, name: str) -> Head:
  p = config.projector
  if name == 'projector':
    widths = (*(p.hidden,) * (p.layers - 1), p.output)
    return Head(widths, config.bn_decay, config.bn_eps, name, p.last_bias)
  widths = (config.predictor.hidden, p.output)
  return Head(widths, config.bn_decay, config.bn_eps, name)


def _make_classifier(config: Any) -> hk.Linear:
  # From zero, as PAWS and SimCLRv2 fine-tune: the first steps then cannot
  # spoil the encoder through a random classifier.
  return hk.Linear(
    config.classifier.classes, w_init=jnp.zeros, name='classifier'
  )


def _cast_weights(policy: jmp.Policy) -> Callable[..., Array]:
  """Casts the parameters of convolutions, but not those of batch norms."""

  def getter(next_getter, value, context):
    value = next_getter(value)
    if context.name in ('w', 'b'):
      return policy.cast_to_compute(value)
    return value

  return getter
