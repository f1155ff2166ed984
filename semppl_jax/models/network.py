"""Network over views: encoder, projector, predictor, prototypes, classifier.

Views of one size pass the network in one call, as rows b * V + v: the
convolutions see a large batch, and rows that are split over devices by image
stay on their device. A support batch joins the views of the first size. Only
this room uses Haiku; the other rooms see pure functions.
"""

from collections.abc import Callable, Sequence
import dataclasses
import math
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
from jaxtyping import Array, DTypeLike, Float, Float32, PRNGKeyArray, PyTree
import jmp
from ml_collections import ConfigDict
import numpy as np

from semppl_jax.losses.contrastive import EXACT, normalize
from semppl_jax.models import backbones
from semppl_jax.models.backbones.batch_norm import BatchNorm

HEADS = ('projector', 'predictor', 'prototypes', 'classifier')
CLASSIFIER_INPUTS = ('features', 'projector_hidden')
# Each reads the output of the one before it.
_CHAIN = ('projector', 'predictor')
_OUTPUT = {'projector': 'projection', 'predictor': 'prediction'}
_NEED_PROJECTOR = ('predictor', 'prototypes')
BN_GROUPS = ('view', 'resolution')
PRECISIONS = ('float32', 'bfloat16')


class Outputs(NamedTuple):
  """Outputs for all views, float32; V counts the views of every size.

  Attributes:
    features: the encoder's output [B, V, F].
    projection: the projector's [B, V, D], or None without that head.
    prediction: the predictor's [B, V, D], or None without that head.
    scores: cosines to the prototypes [B, V, K], or None without that head.
    logits: the classifier's [B, V, C], or None without that head.
    support: outputs for the support rows [S, v, ...], or None without them.
  """

  features: Float32[Array, 'B V F']
  projection: Float32[Array, 'B V D'] | None = None
  prediction: Float32[Array, 'B V D'] | None = None
  scores: Float32[Array, 'B V K'] | None = None
  logits: Float32[Array, 'B V C'] | None = None
  support: 'Outputs | None' = None


class Network(NamedTuple):
  """Pure functions of one network.

  Views are a tuple with one array [B, V, H, W, 3] per size, normalized; one
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

  init: Callable[[PRNGKeyArray, Sequence[Array]], tuple[PyTree, PyTree]]
  apply: Callable[..., tuple[Outputs, PyTree]]
  embed: Callable[[PyTree, PyTree, Array], Outputs]
  select: Callable[[PyTree], PyTree]


def make_network(
  config_network: ConfigDict,
  *,
  heads: tuple[str, ...],
  bn_groups: str,
  frozen: bool = False,
  shards: int = 1,
) -> Network:
  """Builds the network of `config.network` with the heads of a method.

  Args:
    config_network: `config.network`.
    heads: some of `HEADS`, in that order; a predictor and prototypes need a
      projector.
    bn_groups: `'view'`: each view has its own batch-norm statistics;
      `'resolution'`: the views of one size share them.
    frozen: train the classifier alone; the rest uses its batch-norm averages,
      which do not change, and passes no gradient.
    shards: number of parts into which views and support are split over the
      devices; each part is joined by itself. Changes only the order of sums.

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
    views, support = jax.tree.map(jnp.asarray, (tuple(views), support))
    return trained.apply(params, state, None, views, is_training, support)

  def embed(params, state, images: Float[Array | np.ndarray, 'B H W 3']):
    return apply(params, state, (images[:, None],), False)[0]

  absent = tuple(head for head in HEADS if head not in heads)

  def select(tree):
    return {k: v for k, v in tree.items() if k.split('/')[0] not in absent}

  return Network(init, apply, embed, select)


def _check(config: ConfigDict, heads: tuple[str, ...], bn_groups: str) -> None:
  backbones.check(config)
  ordered = tuple(head for head in HEADS if head in heads)
  without = set(heads) & set(_NEED_PROJECTOR) and 'projector' not in heads
  if heads != ordered or without:
    raise ValueError(
      f'heads is {heads!r}; it must be some of {HEADS}, in this order, and a'
      ' predictor and prototypes need a projector.'
    )
  choices = [
    ('bn_groups', bn_groups, BN_GROUPS),
    ('network.precision', config.precision, PRECISIONS),
  ]
  if 'classifier' in heads:
    inputs = CLASSIFIER_INPUTS if 'projector' in heads else ('features',)
    choices.append(
      ('network.classifier.input', config.classifier.input, inputs)
    )
    if config.classifier.classes < 1:
      raise ValueError(
        f'network.classifier.classes is {config.classifier.classes}; it must be'
        ' at least 1.'
      )
  for name, value, allowed in choices:
    if value not in allowed:
      raise ValueError(
        f'{name} is {value!r}; it must be {" or ".join(map(repr, allowed))}'
        f' with the heads {heads}.'
      )


def _forward(
  config: ConfigDict,
  heads: tuple[str, ...],
  bn_groups: str,
  frozen: bool,
  policy: jmp.Policy,
  shards: int,
) -> Callable[..., Outputs]:
  """Returns the network as a function for `hk.transform_with_state`."""

  def forward(views, is_training, support=None):
    encoder = backbones.make_backbone(config)
    mlps = {h: _perceptron(config, h) for h in _CHAIN if h in heads}
    prototypes = _prototypes(config) if 'prototypes' in heads else None
    classifier = _classifier(config) if 'classifier' in heads else None
    train_body = is_training and not frozen

    def apply_rows(x, groups):
      """Returns the outputs [N, ...] for images [N, H, W, 3] by name."""
      x = policy.cast_to_compute(x)
      with hk.custom_getter(_cast_weights(policy)):
        y = encoder(x, train_body, groups)
      outputs = {'features': policy.cast_to_output(y)}
      last = outputs['features']
      for name, mlp in mlps.items():
        last, hidden = mlp(last, train_body, groups)
        outputs[_OUTPUT[name]] = last
        if name == 'projector':
          outputs['projector_hidden'] = hidden
      if prototypes is not None:
        unit = normalize(outputs['projection'])
        outputs['scores'] = prototypes(unit, precision=EXACT)
      if frozen:
        outputs = jax.lax.stop_gradient(outputs)
      if classifier is not None:
        outputs['logits'] = classifier(outputs[config.classifier.input])
      outputs.pop('projector_hidden', None)
      return outputs

    def one_size(x):
      groups = x.shape[1] if bn_groups == 'view' else 1
      return _to_views(apply_rows(_to_rows(x), groups), x)

    def with_support(x, support):
      joined = _join(_to_rows(x), _to_rows(support), shards)
      size = math.prod(x.shape[:2])
      pairs = {
        name: _split(y, size, shards)
        for name, y in apply_rows(joined, 1).items()
      }
      of_x, of_support = ({k: y[n] for k, y in pairs.items()} for n in (0, 1))
      return _to_views(of_x, x), _to_views(of_support, support)

    first, *rest = (x for x in views if x.shape[1])
    support_outputs = None
    if support is None:
      first = one_size(first)
    else:
      first, support_outputs = with_support(first, support)
    parts = [first, *(one_size(x) for x in rest)]
    joined = jax.tree.map(lambda *x: jnp.concatenate(x, axis=1), *parts)
    return joined._replace(support=support_outputs)

  return forward


def _to_rows(views: Array) -> Array:
  """Returns rows [B V, ...] of views [B, V, ...]."""
  return views.reshape(-1, *views.shape[2:])


def _to_views(outputs: PyTree, views: Array) -> Outputs:
  """Returns outputs [B, V, ...] of rows [B V, ...]."""
  shape = views.shape[:2]
  return Outputs(
    **{k: y.reshape(*shape, *y.shape[1:]) for k, y in outputs.items()}
  )


def _join(x: Array, y: Array, shards: int) -> Array:
  """Joins the rows of two arrays shard by shard: none leaves its device."""
  parts = [z.reshape(shards, -1, *z.shape[1:]) for z in (x, y)]
  return _to_rows(jnp.concatenate(parts, axis=1))


def _split(joined: Array, first: int, shards: int) -> tuple[Array, Array]:
  """Undoes `_join` with `first` rows in its first array."""
  parts = joined.reshape(shards, -1, *joined.shape[1:])
  own = first // shards
  return _to_rows(parts[:, :own]), _to_rows(parts[:, own:])


def _cast_weights(policy: jmp.Policy) -> Callable[..., Array]:
  """Casts the parameters of convolutions, but not those of batch norms."""

  def getter(next_getter, value, context):
    value = next_getter(value)
    if context.name in ('w', 'b'):
      return policy.cast_to_compute(value)
    return value

  return getter


@dataclasses.dataclass
class Head(hk.Module):
  """Perceptron with batch norm, as BYOL, SemPPL and PAWS use.

  It always computes in float32: the cost beside the convolutions is small, and
  embeddings rounded to bfloat16 would be compared with each other. `widths` are
  those of the layers, the output last.
  """

  widths: Sequence[int]
  decay_rate: float
  eps: float
  name: str
  last_bias: bool = False
  input_norm: bool = False

  def __call__(
    self, x: Float[Array, 'N F'], is_training: bool, groups: int
  ) -> tuple[Float[Array, 'N D'], Float[Array, 'N H']]:
    """Returns the output [N, D] and the first hidden layer [N, H]."""
    *hidden, output = self.widths
    layers = []
    if self.input_norm:
      x = BatchNorm(self.decay_rate, self.eps)(x, is_training, groups)
    # Built here and not above: DeepMind's files name them `projector/linear`.
    for width in hidden:
      x = hk.Linear(width)(x)
      x = BatchNorm(self.decay_rate, self.eps)(x, is_training, groups)
      x = jax.nn.relu(x)
      layers.append(x)
    return hk.Linear(output, with_bias=self.last_bias)(x), layers[0]


def _perceptron(config: ConfigDict, name: str) -> Head:
  """Builds the `'projector'` or the `'predictor'` of `config.network`."""
  p, q = config.projector, config.predictor
  if name == 'projector':
    widths = (*(p.hidden,) * (p.layers - 1), p.output)
    return Head(widths, config.bn_decay, config.bn_eps, name, p.last_bias)
  widths = (q.hidden, p.output)
  return Head(
    widths, config.bn_decay, config.bn_eps, name, q.last_bias, q.input_norm
  )


def _prototypes(config: ConfigDict) -> hk.Linear:
  """Builds SwAV's prototypes, one unit vector per output (arXiv 2006.09882)."""
  return hk.Linear(
    config.prototypes, with_bias=False, w_init=_unit_columns, name='prototypes'
  )


def _unit_columns(shape: Sequence[int], dtype: DTypeLike) -> Array:
  return normalize(hk.initializers.RandomNormal()(shape, dtype).T).T


def _classifier(config: ConfigDict) -> hk.Linear:
  """Builds a linear classifier."""
  # Zeros, as in the fine-tuning of PAWS and SimCLRv2: a random classifier
  # would send its gradient into the encoder in the first steps.
  return hk.Linear(
    config.classifier.classes, w_init=jnp.zeros, name='classifier'
  )
