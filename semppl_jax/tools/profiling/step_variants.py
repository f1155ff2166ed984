"""A train step, and what it is made of, each as a compiled program."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from semppl_jax.data.batch import Batch
from semppl_jax.data.device import augment
from semppl_jax.methods.base import Inputs
from semppl_jax.models.network import make_network
from semppl_jax.optim import optimizers
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.tools.profiling.on_state import compiled, Program
from semppl_jax.training import aot, grad_cache, target_network, unfed
from semppl_jax.training.grad_cache import Images
from semppl_jax.training.train_step import TrainState
from semppl_jax.training.unfed import Unfed

# Change no time.
_RATE, _DECAY = 0.1, 0.99


def step(run: Unfed, state: TrainState, given: Any) -> Program:
  """Returns the train step as a run compiles it.

  Args:
    run: the config, its method and its devices. The method may keep no memory
      where the state has some, which then stays as it is.
    state: a state.
    given: what every step is given.
  """
  made, keeps = unfed.step(run), _has_memory(run)

  def lower(state: Any, given: Any) -> jax.stages.Lowered:
    return aot.lower(made, state, given)

  def before(state: TrainState) -> tuple[Any, ...]:
    return (state if keeps else state._replace(memory=())), given

  def after(state: TrainState, results: Any) -> TrainState:
    left, _ = results
    return left if keeps else left._replace(memory=state.memory)

  return compiled(lower, state, before, after)


def _has_memory(run: Unfed) -> bool:
  return bool(jax.tree.leaves(jax.eval_shape(run.method.init_memory)))


def images(run: Unfed, batch: Batch) -> Images:
  """Returns what the networks see of a batch, but for colours and blur."""
  c = run.config.augment

  def normal(views: Any) -> Any:
    return augment.normalize(views, c.mean, c.std)

  def make(batch: Batch) -> Images:
    support = batch.support
    return Images(
      views=(normal(batch.large), normal(batch.small)),
      support=None if support is None else normal(support.large),
    )

  return jax.jit(make, out_shardings=mesh_lib.sharded(run.mesh))(batch)


def networks(
  run: Unfed, state: TrainState, images: Images, batch: Batch
) -> Program:
  """Returns the forward and backward pass of a method's networks alone.

  The target's forward pass too, and in as many parts as the config says. The
  results are loss, gradient and batch-norm averages; the state stays.

  Args:
    run: the config, the devices and a method of which the loss asks for no more
      than outputs, and of which the heads may be fewer than the state has.
    state: a state.
    images: what the networks see.
    batch: the rows, for a loss that looks at them.
  """
  config, method, mesh = run.config, run.method, run.mesh
  network = make_network(
    config.network,
    heads=method.heads,
    bn_groups=method.bn_groups,
    frozen=method.frozen,
    shards=mesh.size,
  )
  target = target_network.make(config, method)
  gradient = grad_cache.make(config.accumulate)

  def passes(params, net_state, target_params, target_state, images: Any):
    step, key = jnp.int32(0), jax.random.key(0)

    def coloured(images: Any, key: Any) -> Any:
      del key  # As they are.
      return images

    def online(params, images):
      views, support = images.views, images.support
      return network.apply(params, net_state, views, True, support)

    def forwarded(images):
      return target.forward(target_params, target_state, images.views[0])

    def loss(online, forwarded):
      aim = target.outputs(online, forwarded, images.views[0].shape[1])
      told = method.loss(Inputs(online, aim, batch, (), key, step))
      return told.loss, ()

    through = grad_cache.Passes(coloured, online, forwarded, loss)
    found = gradient(through, params, images, key)
    return found.loss, found.grads, found.net_state, found.target_state

  def before(state: TrainState) -> tuple[Any, ...]:
    own = (
      state.params,
      state.net_state,
      state.target_params,
      state.target_state,
    )
    return *(tree and network.select(tree) for tree in own), images

  jitted = jax.jit(passes, out_shardings=mesh_lib.replicated(mesh))
  return compiled(jitted.lower, state, before, lambda state, results: state)


def update(run: Unfed, state: TrainState) -> Program:
  """Returns optimiser and moving average alone.

  Args:
    run: the config, its method and its devices.
    state: a state.
  """
  optimizer = optimizers.make(run.config)
  if run.method.frozen:
    optimizer = optimizers.train_only(optimizer, 'classifier')
  target = target_network.make(run.config, run.method)

  def change(own: Any, grads: Any) -> Any:
    params, target_params, opt_state = own
    updates, opt_state = optimizer.update(
      grads, opt_state, params, rate=jnp.float32(_RATE)
    )
    params = optax.apply_updates(params, updates)
    target_params = target.update(target_params, params, jnp.float32(_DECAY))
    return params, target_params, opt_state

  # A gradient like any other of these shapes, in memory of its own.
  grads = jax.tree.map(lambda x: 1e-3 * x, state.params)

  def before(state: TrainState) -> tuple[Any, ...]:
    return (state.params, state.target_params, state.opt_state), grads

  def after(state: TrainState, results: Any) -> TrainState:
    params, target_params, opt_state = results
    return state._replace(
      params=params, target_params=target_params, opt_state=opt_state
    )

  whole = mesh_lib.replicated(run.mesh)
  jitted = jax.jit(change, donate_argnums=0, out_shardings=whole)
  return compiled(jitted.lower, state, before, after)
