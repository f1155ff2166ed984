"""LARS in two orders, Adam and SGD, and which parameters count as weights.

LARS (You et al., arXiv 1708.03888) multiplies the gradient of each weight by a
trust ratio. `optax.lars` scales by the learning rate before the momentum
buffer, the LARS of BYOL (arXiv 2006.07733) and SemPPL after it; in a warm-up
the two differ by tens of per cent. The LARS of PAWS (arXiv 2104.13963) scales
before it too, but by another trust ratio:

    'lars'       g <- g + wd p;  g <- g trust |p| / |g|  (1 where a norm is 0)
                 m <- mu m + g;  p <- p - lr m

    'lars_paws'  g <- (g + wd p) trust |p| / (|g| + wd |p| + 1e-8)
                 (g as it is, without decay, where |p| or |g| is 0)
                 m <- mu m - lr g;  p <- p + m

The rate lr is an argument of every update, not a count of its own: it is that
of the train step, which goes on where an update is dropped.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree
import ml_collections
import optax

# Here `update` takes `learning_rate` beside optax's arguments.
from optax import GradientTransformationExtraArgs as Optimizer

NAMES = ('lars', 'lars_paws', 'adam', 'sgd')
# By name, since in Haiku a batch-norm scale has as many axes as a kernel.
_NOT_WEIGHTS = ('b', 'scale', 'offset')


def weights_mask(params: PyTree) -> PyTree:
  """Returns a tree of bools, True for weights.

  Biases and batch-norm parameters are neither decayed nor adapted by LARS.

  Example:
    >>> weights_mask({'linear': {'w': jnp.ones((2, 2)), 'b': jnp.ones(2)}})
    {'linear': {'b': False, 'w': True}}
  """
  return jax.tree_util.tree_map_with_path(
    lambda path, _: path[-1].key not in _NOT_WEIGHTS, params
  )


def _scale_by_learning_rate() -> Optimizer:
  """Multiplies by minus the argument `learning_rate` of the update."""

  def update(updates, state, params=None, *, learning_rate, **others):
    del params, others
    return jax.tree.map(lambda u: -learning_rate * u, updates), state

  return Optimizer(lambda params: optax.EmptyState(), update)


def _momentum(
  decay: float, dtype: str, nesterov: bool = False
) -> optax.GradientTransformation:
  """Sums gradients in float32, and stores the sum in `dtype`."""
  inner = optax.trace(decay, nesterov, accumulator_dtype=dtype)

  def update(updates, state, params=None):
    wide = optax.tree.cast(state.trace, jnp.float32)
    return inner.update(updates, optax.TraceState(wide), params)

  return optax.GradientTransformation(inner.init, update)


def lars(
  *,
  momentum: float,
  trust_coefficient: float,
  weight_decay: float,
  momentum_dtype: str = 'float32',
) -> Optimizer:
  """LARS in DeepMind's order; decay and trust ratio for weights only.

  Args:
    momentum: mu from 0 to 1.
    trust_coefficient: factor `trust` of the trust ratio > 0.
    weight_decay: wd >= 0.
    momentum_dtype: type of the stored momentum.

  Returns:
    An optax transformation whose update takes `learning_rate`.

  Example:
    >>> tx = lars(momentum=0.9, trust_coefficient=0.1, weight_decay=0.0)
    >>> p, g = {'m': {'w': jnp.full(1, 5.0)}}, {'m': {'w': jnp.full(1, 2.0)}}
    >>> tx.update(g, tx.init(p), p, learning_rate=1.0)[0]['m']['w'].item()
    -0.5
  """
  return optax.chain(
    optax.add_decayed_weights(weight_decay, mask=weights_mask),
    optax.masked(
      optax.scale_by_trust_ratio(trust_coefficient=trust_coefficient),
      weights_mask,
    ),
    _momentum(momentum, momentum_dtype),
    _scale_by_learning_rate(),
  )


def lars_paws(
  *,
  momentum: float,
  trust_coefficient: float,
  weight_decay: float,
  momentum_dtype: str = 'float32',
) -> Optimizer:
  """LARS in the order of PAWS's code, with the rate inside the momentum.

  Args and Returns are those of `lars`.

  Example:
    >>> tx = lars_paws(momentum=0.9, trust_coefficient=0.1, weight_decay=1.0)
    >>> p, g = {'m': {'w': jnp.full(1, 5.0)}}, {'m': {'w': jnp.full(1, 5.0)}}
    >>> tx.update(g, tx.init(p), p, learning_rate=1.0)[0]['m']['w'].item()
    -0.5
  """

  def adapt(g, p):
    g_norm, p_norm = (jnp.linalg.norm(jnp.ravel(x)) for x in (g, p))
    ratio = trust_coefficient * p_norm
    ratio /= g_norm + weight_decay * p_norm + 1e-8
    adapted = (g + weight_decay * p) * ratio
    return jnp.where((g_norm == 0) | (p_norm == 0), g, adapted)

  return optax.chain(
    optax.masked(optax.stateless_with_tree_map(adapt), weights_mask),
    _scale_by_learning_rate(),
    _momentum(momentum, momentum_dtype),
  )


def adam(*, weight_decay: float, momentum_dtype: str = 'float32') -> Optimizer:
  """Adam with decoupled decay of weights, for small networks and batches.

  Args and Returns are those of `lars`; the momentum is the first moment.

  Example:
    >>> tx, p = adam(weight_decay=0.5), {'m': {'w': jnp.ones(1)}}
    >>> no_gradient = {'m': {'w': jnp.zeros(1)}}
    >>> updates, _ = tx.update(no_gradient, tx.init(p), p, learning_rate=1.0)
    >>> updates['m']['w'].item()
    -0.5
  """
  inner = optax.chain(
    optax.scale_by_adam(mu_dtype=momentum_dtype),
    optax.add_decayed_weights(weight_decay, mask=weights_mask),
    _scale_by_learning_rate(),
  )

  def update(updates, state, params=None, **others):
    # optax raises floats to an integer power, which strict promotion refuses.
    with jax.numpy_dtype_promotion('standard'):
      return inner.update(updates, state, params, **others)

  return Optimizer(inner.init, update)


def sgd(
  *, momentum: float, weight_decay: float, momentum_dtype: str = 'float32'
) -> Optimizer:
  """SGD with Nesterov momentum; weights decay inside the gradient.

  Args and Returns are those of `lars`.

  Example:
    >>> tx, p = sgd(momentum=0.0, weight_decay=0.0), {'m': {'w': jnp.ones(1)}}
    >>> tx.update(p, tx.init(p), p, learning_rate=0.5)[0]['m']['w'].item()
    -0.5
  """
  return optax.chain(
    optax.add_decayed_weights(weight_decay, mask=weights_mask),
    _momentum(momentum, momentum_dtype, nesterov=True),
    _scale_by_learning_rate(),
  )


def train_only(optimizer: Optimizer, head: str) -> Optimizer:
  """Applies an optimizer to one head and freezes all other parameters.

  Args:
    optimizer: updates the parameters of the head.
    head: first part of the names of its modules.

  Returns:
    An optax transformation whose updates are 0 outside the head.

  Example:
    >>> tx = train_only(sgd(momentum=0.0, weight_decay=0.0), 'head')
    >>> p = {'head': {'w': jnp.ones(1)}, 'encoder/conv': {'w': jnp.ones(1)}}
    >>> jax.tree.leaves(tx.update(p, tx.init(p), p, learning_rate=1.0)[0])
    [Array([0.], dtype=float32), Array([-1.], dtype=float32)]
  """

  def labels(params: PyTree) -> PyTree:
    return {
      module: jax.tree.map(lambda _, m=module: m.split('/')[0] == head, group)
      for module, group in params.items()
    }

  return optax.partition({True: optimizer, False: optax.set_to_zero()}, labels)


def make_optimizer(config: ml_collections.ConfigDict) -> Optimizer:
  """Builds the optimizer of a config; its update takes `learning_rate`.

  Example:
    >>> fields = dict(name='adam', weight_decay=0.0, momentum_dtype='float32')
    >>> tx = make_optimizer(ml_collections.ConfigDict({'optimizer': fields}))
    >>> isinstance(tx, Optimizer)
    True
  """
  o = config.optimizer
  shared = dict(weight_decay=o.weight_decay, momentum_dtype=o.momentum_dtype)
  if o.name == 'sgd':
    return sgd(momentum=o.momentum, **shared)
  if o.name == 'adam':
    return adam(**shared)
  return {'lars': lars, 'lars_paws': lars_paws}[o.name](
    momentum=o.momentum, trust_coefficient=o.trust_coefficient, **shared
  )


def trust_ratio_metrics(
  params: PyTree, grads: PyTree, config: ml_collections.ConfigDict
) -> dict[str, Array]:
  """Computes the mean trust ratio of the weights under either LARS.

  The trust ratio of `'lars'` is trust |p| / |g + wd p|, and that of
  `'lars_paws'` trust |p| / (|g| + wd |p|); both are 1 where a norm is 0.

  Args:
    params: Haiku parameters p.
    grads: their gradients g.
    config: config of a run.

  Returns:
    The metric `lars/trust_ratio`; nothing for other optimizers.

  Example:
    >>> fields = dict(name='lars', trust_coefficient=0.1, weight_decay=0.0)
    >>> config = ml_collections.ConfigDict({'optimizer': fields})
    >>> p, g = {'m': {'w': jnp.full(1, 5.0)}}, {'m': {'w': jnp.ones(1)}}
    >>> trust_ratio_metrics(p, g, config)['lars/trust_ratio'].item()
    0.5
  """
  o = config.optimizer
  if o.name not in ('lars', 'lars_paws'):
    return {}

  def ratio(is_weight, p, g):
    if not is_weight:
      return None
    p_norm = jnp.linalg.norm(jnp.ravel(p))
    if o.name == 'lars':
      g_norm = jnp.linalg.norm(jnp.ravel(g + o.weight_decay * p))
    else:
      g_norm = jnp.linalg.norm(jnp.ravel(g)) + o.weight_decay * p_norm
    scaled = o.trust_coefficient * p_norm / jnp.maximum(g_norm, 1e-30)
    return jnp.where((p_norm == 0) | (g_norm == 0), 1.0, scaled)

  ratios = jax.tree.map(ratio, weights_mask(params), params, grads)
  return {'lars/trust_ratio': jnp.mean(jnp.stack(jax.tree.leaves(ratios)))}
