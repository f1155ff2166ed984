"""LARS in two orders, and which parameters it treats as weights.

`optax.lars` scales by the learning rate before the momentum buffer, BYOL's
and SemPPL's LARS after it; during a warm-up the two differ by tens of per
cent. The LARS of PAWS's code scales before it too, but by another trust ratio.
The recursions here, from small optax parts:

    'lars'       g <- g + wd p;  g <- g trust |p| / |g|  (1 where a norm is 0)
                 m <- mu m + g;  p <- p - lr m

    'lars_paws'  g <- (g + wd p) trust |p| / (|g| + wd |p| + 1e-8)
                 (g as it is, without decay, where |p| or |g| is 0)
                 m <- mu m - lr g;  p <- p + m

The rate lr is an argument of every update, not a count of its own: it is that
of the train step, which goes on where an update is dropped.

You et al., arXiv 1708.03888; Grill et al., arXiv 2006.07733, for the first
order; Assran et al., arXiv 2104.13963, for the second.
"""

from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import optax

# Of the optimisers here, `update` takes `rate` beside optax's arguments.
from optax import GradientTransformationExtraArgs as Optimizer

NAMES = ('lars', 'lars_paws', 'adam', 'sgd')
# By name, since in Haiku a batch-norm scale has as many axes as a kernel.
_NOT_WEIGHTS = ('b', 'scale', 'offset')


def weights_mask(params: Any) -> Any:
  """True for weights, False for biases and batch-norm parameters."""

  def is_weight(path, _):
    return path[-1].key not in _NOT_WEIGHTS

  return jax.tree_util.tree_map_with_path(is_weight, params)


def scale_by_rate() -> Optimizer:
  """Multiplies by minus the argument `rate` of the update."""

  def update(updates, state, params=None, *, rate, **others):
    del params, others
    return jax.tree.map(lambda u: -rate * u, updates), state

  return Optimizer(lambda params: optax.EmptyState(), update)


def _momentum(
  decay: float, dtype: str, nesterov: bool = False
) -> optax.GradientTransformation:
  """Sums gradients in float32, and keeps the sum in `dtype`."""
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
  """LARS in DeepMind's order; decay and trust ratio for weights only."""
  return optax.chain(
    optax.add_decayed_weights(weight_decay, mask=weights_mask),
    optax.masked(
      optax.scale_by_trust_ratio(trust_coefficient=trust_coefficient),
      weights_mask,
    ),
    _momentum(momentum, momentum_dtype),
    scale_by_rate(),
  )


def lars_paws(
  *,
  momentum: float,
  trust_coefficient: float,
  weight_decay: float,
  momentum_dtype: str = 'float32',
) -> Optimizer:
  """LARS in the order of PAWS's code, with the rate inside the buffer."""

  def adapt(g, p):
    g_norm, p_norm = (jnp.linalg.norm(jnp.ravel(x)) for x in (g, p))
    ratio = trust_coefficient * p_norm
    ratio /= g_norm + weight_decay * p_norm + 1e-8
    adapted = (g + weight_decay * p) * ratio
    return jnp.where((g_norm == 0) | (p_norm == 0), g, adapted)

  return optax.chain(
    optax.masked(
      optax.stateless_with_tree_map(adapt),
      weights_mask,
    ),
    scale_by_rate(),
    _momentum(momentum, momentum_dtype),
  )


def adam(*, weight_decay: float, momentum_dtype: str = 'float32') -> Optimizer:
  """Adam with decoupled decay of weights, for small networks and batches."""
  inner = optax.chain(
    optax.scale_by_adam(mu_dtype=momentum_dtype),
    optax.add_decayed_weights(weight_decay, mask=weights_mask),
    scale_by_rate(),
  )

  def update(updates, state, params=None, **others):
    # optax raises floats to an integer power, which strict promotion refuses.
    with jax.numpy_dtype_promotion('standard'):
      return inner.update(updates, state, params, **others)

  return Optimizer(inner.init, update)


def sgd(
  *, momentum: float, weight_decay: float, momentum_dtype: str = 'float32'
) -> Optimizer:
  """SGD with Nesterov's momentum; decay of weights inside the gradient."""
  return optax.chain(
    optax.add_decayed_weights(weight_decay, mask=weights_mask),
    _momentum(momentum, momentum_dtype, nesterov=True),
    scale_by_rate(),
  )


def train_only(optimizer: Optimizer, head: str) -> Optimizer:
  """Applies an optimiser to one head and keeps all other parameters."""

  def labels(params: Any) -> Any:
    return {
      module: jax.tree.map(lambda _, m=module: m.split('/')[0] == head, group)
      for module, group in params.items()
    }

  return optax.partition({True: optimizer, False: optax.set_to_zero()}, labels)


def make(config: ml_collections.ConfigDict) -> Optimizer:
  """Builds the optimiser that `config.optimizer` names.

  Its `update` takes the learning rate as a keyword, `rate`.
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


def diagnostics(
  params: Any, grads: Any, config: ml_collections.ConfigDict
) -> dict[str, jax.Array]:
  """Under either LARS, the mean over the weights of its trust ratio."""
  o = config.optimizer
  if o.name not in ('lars', 'lars_paws'):
    return {}

  def ratio(weight, p, g):
    if not weight:
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
