"""The one train step. Pure, and without a method's name in it.

Augment, forward, loss, update, average: a feature is a function chosen while
building, never a branch while tracing. Under `jit` on global arrays, batch
norm and every mean see the whole batch of all devices.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
import ml_collections
import optax

from semppl_jax.data.batch import Batch
from semppl_jax.data.device import augment as augment_lib, views as views_lib
from semppl_jax.methods.base import Guesses, Inputs, Method
from semppl_jax.models import linear_probe as linear_probe_lib
from semppl_jax.models.network import make_network, Network, Outputs
from semppl_jax.optim import optimizers, schedules
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.training import grad_cache, target_network
from semppl_jax.training.grad_cache import Images

Metrics = dict[str, jax.Array]
# Metrics named so have a value for each row [B, ...]; the others are scalars.
ROWS = 'rows/'

# Apart, since fold_in(key, n) is also the n-th key that a split gives.
_INIT_STREAM, _STEP_STREAM, _VIEW_STREAM = 0, 1, 2


class TrainState(NamedTuple):
  """Everything that a run needs to go on, and nothing else.

  Attributes:
    step: steps taken, int32.
    seed: seed of every random draw, uint32.
    params: online parameters.
    net_state: online batch-norm averages.
    target_params: moving average of the online parameters, or ().
    target_state: the target's own batch-norm averages, or ().
    opt_state: optimiser state.
    memory: the method's state.
    probe: the online linear probe, or ().
    dropped: updates dropped for a non-finite loss or gradient, int32.
  """

  step: jax.Array
  seed: jax.Array
  params: Any
  net_state: Any
  target_params: Any
  target_state: Any
  opt_state: Any
  memory: Any
  probe: Any
  dropped: jax.Array


class Step(NamedTuple):
  """A train step and its initial state, for one config and mesh.

  Attributes:
    init: `() -> TrainState`; pure.
    start: `(params, net_state) -> TrainState`, from given weights; pure.
    views: `(given, state) -> Batch`, what `train` makes of what it is given.
    train: `(state, given) -> (state, metrics)`; pure. What is given is a
      `Batch`, or an `Uncut` or a `Pool` where the devices cut the views.
    state_sharding: how the devices hold the state.
    network: the online network.
  """

  init: Callable[[], TrainState]
  start: Callable[[Any, Any], TrainState]
  views: Callable[[Any, TrainState], Batch]
  train: Callable[[TrainState, Any], tuple[TrainState, Metrics]]
  state_sharding: TrainState
  network: Network


def make_step(
  config: ml_collections.ConfigDict,
  method: Method,
  mesh: Mesh,
  total_steps: int,
  warmup_steps: int,
) -> Step:
  """Builds the train step of a config.

  Args:
    config: the run's config.
    method: what to learn by.
    mesh: the devices.
    total_steps: length of the learning-rate and averaging schedules.
    warmup_steps: steps of linear warm-up.
  """
  network = make_network(
    config.network,
    heads=method.heads,
    bn_groups=method.bn_groups,
    frozen=method.frozen,
    shards=mesh.size,
  )
  target = target_network.make(config, method)
  rate = schedules.learning_rate(
    config.optimizer, config.batch_size, warmup_steps, total_steps
  )
  decay = schedules.ema_decay(config.ema, total_steps)
  optimizer = optimizers.make(config)
  if method.frozen:
    optimizer = optimizers.train_only(optimizer, 'classifier')
  probe = linear_probe_lib.make(config.probe, config.network.classifier.classes)
  augment = augment_lib.make_augment(config.augment, config.saliency)
  gradient = grad_cache.make(config.accumulate)
  cut = views_lib.make(config, mesh)

  def init() -> TrainState:
    key = jax.random.fold_in(jax.random.key(config.seed), _INIT_STREAM)
    return start(*network.init(key, _example_views(config)))

  def start(params: Any, net_state: Any) -> TrainState:
    target_params, target_state = target.init(params, net_state)
    return TrainState(
      step=jnp.zeros((), jnp.int32),
      seed=jnp.asarray(config.seed, jnp.uint32),
      params=params,
      net_state=net_state,
      target_params=target_params,
      target_state=target_state,
      opt_state=optimizer.init(params),
      memory=method.init_memory(),
      probe=probe.init(_feature_size(config, network, params, net_state)),
      dropped=jnp.zeros((), jnp.int32),
    )

  def colour(batch: Batch, key: jax.Array) -> Images:
    large_key, small_key, _, support_key = jax.random.split(key, 4)
    support = batch.support
    return Images(
      views=(
        augment(batch.large, large_key, batch.mask),
        augment(batch.small, small_key),
      ),
      support=support and augment(support.large, support_key),
    )

  def views(given: Any, state: TrainState) -> Batch:
    key = jax.random.fold_in(jax.random.key(state.seed), _VIEW_STREAM)
    return cut(given, key, state.step)

  def train(state: TrainState, given: Any) -> tuple[TrainState, Metrics]:
    batch = views(given, state)
    key = jax.random.fold_in(jax.random.key(state.seed), _STEP_STREAM)
    key = jax.random.fold_in(key, state.step)
    loss_key = jax.random.split(key, 4)[2]
    large = batch.large.shape[1]

    def online(params, images: Images):
      return network.apply(
        params, state.net_state, images.views, True, images.support
      )

    def forward_target(images: Images):
      return target.forward(
        state.target_params, state.target_state, images.views[0]
      )

    def loss(online: Outputs, forwarded: Outputs | None):
      aim = target.outputs(online, forwarded, large)
      result = method.loss(
        Inputs(
          online=online,
          target=aim,
          batch=batch,
          memory=state.memory,
          key=loss_key,
          step=state.step,
          params=state.params,
        )
      )
      return result.loss, result

    found = gradient(
      grad_cache.Passes(colour, online, forward_target, loss),
      state.params,
      batch,
      key,
    )
    now = rate(state.step)
    grads = method.after_gradient(found.grads, state.step)
    updates, opt_state = optimizer.update(
      grads, state.opt_state, state.params, rate=now
    )
    params = optax.apply_updates(state.params, updates)
    params = method.after_update(params, state.step)
    probe_state, probed = probe.update(
      state.probe, found.online.features[:, :large], batch.label
    )
    measured = {
      'loss/total': found.loss,
      'norm/grads': optax.tree.norm(grads),
      'norm/params': optax.tree.norm(params),
      'norm/updates': optax.tree.norm(updates),
      'schedule/learning_rate': jnp.asarray(now),
      'schedule/ema_decay': jnp.asarray(decay(state.step)),
    } | optimizers.diagnostics(state.params, grads, config)
    new = state._replace(
      step=state.step + 1,
      params=params,
      net_state=found.net_state,
      target_params=target.update(
        state.target_params, params, decay(state.step)
      ),
      target_state=found.target_state,
      opt_state=opt_state,
      memory=found.told.memory,
      probe=probe_state,
    )
    # The update too: a finite gradient can still throw the parameters away.
    finite = jnp.all(jnp.isfinite(jnp.stack(list(measured.values()))))
    averages = [
      x.ravel()
      for x in jax.tree.leaves(found.net_state)
      if jnp.issubdtype(x.dtype, jnp.floating)
    ]
    finite &= jnp.all(jnp.isfinite(jnp.concatenate(averages)))
    state = _keep_finite(config.on_nonfinite, finite, state, new)
    metrics = found.told.metrics | _deviation(found.online) | probed | measured
    metrics['dropped'] = state.dropped.astype(jnp.float32)
    return state, metrics | of_rows(batch, found.told.guesses)

  def of_rows(batch: Batch, guesses: Guesses | None) -> Metrics:
    if guesses is None:
      return {}
    told = guesses._asdict() | {
      'index': batch.index,
      'given': batch.label,
      'true': batch.diagnostic_label,
    }
    split = mesh_lib.sharded(mesh)
    return {
      # Each process records rows of its own: nothing is exchanged for it.
      f'{ROWS}{name}': jax.lax.with_sharding_constraint(x, split)
      for name, x in told.items()
      if x is not None
    }

  layout = _state_sharding(init, method, mesh)
  return Step(init, start, views, train, layout, network)


def _keep_finite(
  policy: str, finite: jax.Array, old: TrainState, new: TrainState
) -> TrainState:
  """Drops a non-finite update; under 'stop' also every one after it.

  Under 'stop' the state stays that of the offending step until the host
  notices, so that it can be saved and replayed although steps run ahead.
  """
  if policy == 'stop':
    keep = finite & (old.dropped == 0)
  else:
    keep = finite
  kept = jax.tree.map(lambda a, b: jnp.where(keep, a, b), new, old)
  step = old.step + 1 if policy == 'skip' else kept.step
  return kept._replace(step=step, dropped=old.dropped + jnp.where(keep, 0, 1))


def _example_views(config) -> tuple[jax.Array, ...]:
  """Views of the config's sizes for two images, to shape the parameters."""
  return tuple(
    jnp.zeros((2, v.count, v.size, v.size, 3), jnp.float32)
    for v in (config.views.large, config.views.small)
  )


def _feature_size(config, network: Network, params, net_state) -> int:
  """Returns F, the width of the encoder's output."""
  views = _example_views(config)
  outputs, _ = jax.eval_shape(
    lambda params, net_state: network.apply(params, net_state, views, False),
    params,
    net_state,
  )
  return outputs.features.shape[-1]


def _deviation(online: Outputs) -> Metrics:
  """Deviation of unit embeddings over the batch, 1 when spread evenly."""
  metrics = {}
  for name in ('features', 'projection'):
    x = getattr(online, name)
    if x is not None:
      x = x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
      spread = jnp.mean(jnp.std(x, axis=0)) * jnp.sqrt(jnp.float32(x.shape[-1]))
      metrics[f'deviation/{name}'] = spread
  return metrics


def _state_sharding(init, method: Method, mesh: Mesh) -> TrainState:
  """Everything whole on every device, but for what the method says."""
  shapes = jax.eval_shape(init)
  whole = mesh_lib.replicated(mesh)
  layout = jax.tree.map(lambda _: whole, shapes)
  if method.memory_sharding is None:
    return layout
  return layout._replace(memory=method.memory_sharding)
