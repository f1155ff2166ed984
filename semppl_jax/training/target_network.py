"""Where the targets of a loss come from: no gradient flows into any of them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import ml_collections
import optax

from semppl_jax.methods.base import Method
from semppl_jax.models.network import make_network, Outputs

Array = jax.Array


class Target(NamedTuple):
  """Pure functions of one kind of target.

  Attributes:
    init: `(params, net_state) -> (target_params, target_state)`.
    forward: `(target_params, target_state, large [B, L, H, W, 3]) -> (Outputs
      or None, target_state)`: what a network of its own makes of the views.
    outputs: `(online, forwarded, L) -> Outputs or None`: the targets.
    update: `(target_params, params, decay) -> target_params`.
  """

  init: Callable[[Any, Any], tuple[Any, Any]]
  forward: Callable[[Any, Any, Array], tuple[Outputs | None, Any]]
  outputs: Callable[[Outputs, Outputs | None, int], Outputs | None]
  update: Callable[[Any, Any, Array], Any]


def make(config: ml_collections.ConfigDict, method: Method) -> Target:
  """Builds the targets that `method.target` names."""
  return {'ema': _ema, 'stop_gradient': _own, 'none': _none}[method.target](
    config, method
  )


def _ema(config, method: Method) -> Target:
  """A moving average of the online network, run on the large views."""
  heads = tuple(h for h in method.heads if h != 'predictor')
  average = make_network(
    config.network, heads=heads, bn_groups=method.bn_groups
  )

  def init(params, net_state):
    return average.select(params), average.select(net_state)

  def forward(target_params, target_state, large):
    outputs, target_state = average.apply(
      target_params, target_state, (large,), True, None
    )
    return jax.lax.stop_gradient(outputs), target_state

  def update(target_params, params, decay):
    return optax.incremental_update(
      average.select(params), target_params, 1.0 - decay
    )

  return Target(init, forward, lambda online, averaged, large: averaged, update)


def _own(config, method: Method) -> Target:
  """The online outputs of large views and support, without gradient."""

  def outputs(online: Outputs, forwarded, large: int):
    del forwarded
    views = jax.tree.map(lambda x: x[:, :large], online._replace(support=None))
    return jax.lax.stop_gradient(views._replace(support=online.support))

  return _none(config, method)._replace(outputs=outputs)


def _none(config, method: Method) -> Target:
  """No targets at all."""
  del config, method
  return Target(
    init=lambda params, net_state: ((), ()),
    forward=lambda target_params, target_state, large: (None, ()),
    outputs=lambda online, forwarded, large: None,
    update=lambda target_params, params, decay: (),
  )
