"""LARS in DeepMind's order, and which parameters it treats as weights.

`optax.lars` scales by the learning rate before the momentum buffer, BYOL's
and SemPPL's LARS after it; during a warm-up the two differ by tens of per
cent. The recursion here, from small optax parts:

    g <- g + wd p;  g <- g trust |p| / |g|  (1 where a norm is 0)
    m <- mu m + g;  p <- p - lr m

The optimisers here give m; the train step multiplies by the rate of its own
step, which goes on where an update is dropped and the optimiser's count not.

You et al., arXiv 1708.03888; Grill et al., arXiv 2006.07733 for the order.
"""

from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import optax

# By name, since in Haiku a batch-norm scale has as many axes as a kernel.
_NOT_WEIGHTS = ('b', 'scale', 'offset')


def weights_mask(params: Any) -> Any:
  """True for weights, False for biases and batch-norm parameters."""

  def is_weight(path, _):
    return path[-1].key not in _NOT_WEIGHTS

  return jax.tree_util.tree_map_with_path(is_weight, params)


def lars(
  *, momentum: float, trust_coefficient: float, weight_decay: float
) -> optax.GradientTransformation:
  """LARS in DeepMind's order; decay and trust ratio for weights only."""
  return optax.chain(
    optax.add_decayed_weights(weight_decay, mask=weights_mask),
    optax.masked(
      optax.scale_by_trust_ratio(trust_coefficient=trust_coefficient),
      weights_mask,
    ),
    optax.trace(decay=momentum),
  )


def adam(*, weight_decay: float) -> optax.GradientTransformation:
  """Adam with decoupled decay of weights, for small networks and batches."""
  inner = optax.chain(
    optax.scale_by_adam(),
    optax.add_decayed_weights(weight_decay, mask=weights_mask),
  )

  def update(updates, state, params=None):
    # optax raises floats to an integer power, which strict promotion refuses.
    with jax.numpy_dtype_promotion('standard'):
      return inner.update(updates, state, params)

  return optax.GradientTransformation(inner.init, update)


def sgd(
  *, momentum: float, weight_decay: float
) -> optax.GradientTransformation:
  """SGD with Nesterov's momentum; decay of weights inside the gradient."""
  return optax.chain(
    optax.add_decayed_weights(weight_decay, mask=weights_mask),
    optax.trace(decay=momentum, nesterov=True),
  )


def train_only(
  optimizer: optax.GradientTransformation, head: str
) -> optax.GradientTransformation:
  """Applies an optimiser to one head and keeps all other parameters."""

  def labels(params: Any) -> Any:
    return {
      module: jax.tree.map(lambda _, m=module: m.split('/')[0] == head, group)
      for module, group in params.items()
    }

  return optax.partition({True: optimizer, False: optax.set_to_zero()}, labels)


def make(config: ml_collections.ConfigDict) -> optax.GradientTransformation:
  """Builds the optimiser that `config.optimizer` names, without its rate."""
  o = config.optimizer
  if o.name == 'sgd':
    return sgd(momentum=o.momentum, weight_decay=o.weight_decay)
  if o.name == 'adam':
    return adam(weight_decay=o.weight_decay)
  return lars(
    momentum=o.momentum,
    trust_coefficient=o.trust_coefficient,
    weight_decay=o.weight_decay,
  )


def diagnostics(
  params: Any, grads: Any, config: ml_collections.ConfigDict
) -> dict[str, jax.Array]:
  """Under LARS, the mean over the weights of its trust |p| / |g + wd p|."""
  o = config.optimizer
  if o.name != 'lars':
    return {}

  def ratio(weight, p, g):
    if not weight:
      return None
    g_norm = jnp.linalg.norm(jnp.ravel(g + o.weight_decay * p))
    p_norm = jnp.linalg.norm(jnp.ravel(p))
    scaled = o.trust_coefficient * p_norm / jnp.maximum(g_norm, 1e-30)
    return jnp.where((p_norm == 0) | (g_norm == 0), 1.0, scaled)

  ratios = jax.tree.map(ratio, weights_mask(params), params, grads)
  return {'lars/trust_ratio': jnp.mean(jnp.stack(jax.tree.leaves(ratios)))}
