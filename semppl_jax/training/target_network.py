"""Target outputs of a loss: no gradient flows into any of them."""

from collections.abc import Callable
from typing import NamedTuple

import jax
from jaxtyping import PyTree
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
      or None, target_state)`: outputs of the target network.
    outputs: `(online, target, L) -> Outputs or None`: the targets of the loss,
      from the outputs of both networks.
    update: `(target_params, params, decay) -> target_params`.
  """

  init: Callable[[PyTree, PyTree], tuple[PyTree, PyTree]]
  forward: Callable[[PyTree, PyTree, Array], tuple[Outputs | None, PyTree]]
  outputs: Callable[[Outputs, Outputs | None, int], Outputs | None]
  update: Callable[[PyTree, PyTree, Array], PyTree]


def make_target(config: ml_collections.ConfigDict, method: Method) -> Target:
  """Builds the targets that `method.target` names."""
  builders = {'ema': _ema, 'stop_gradient': _stop_gradient, 'none': _none}
  return builders[method.target](config, method)


def _ema(config: ml_collections.ConfigDict, method: Method) -> Target:
  """Moving average of the online network, applied to the large views."""
  heads = tuple(h for h in method.heads if h != 'predictor')
  network = make_network(
    config.network, heads=heads, bn_groups=method.bn_groups
  )

  def init(params, net_state):
    return network.select(params), network.select(net_state)

  def forward(target_params, target_state, large):
    outputs, target_state = network.apply(
      target_params, target_state, (large,), True, None
    )
    return jax.lax.stop_gradient(outputs), target_state

  def update(target_params, params, decay):
    return optax.incremental_update(
      network.select(params), target_params, 1.0 - decay
    )

  return Target(init, forward, lambda online, target, large: target, update)


def _stop_gradient(config: ml_collections.ConfigDict, method: Method) -> Target:
  """Online outputs of large views and support, without gradient."""

  def outputs(online: Outputs, target, large: int):
    del target
    views = jax.tree.map(lambda x: x[:, :large], online._replace(support=None))
    return jax.lax.stop_gradient(views._replace(support=online.support))

  return _none(config, method)._replace(outputs=outputs)


def _none(config: ml_collections.ConfigDict, method: Method) -> Target:
  """No targets."""
  del config, method
  return Target(
    init=lambda params, net_state: ((), ()),
    forward=lambda target_params, target_state, large: (None, ()),
    outputs=lambda online, target, large: None,
    update=lambda target_params, params, decay: (),
  )
