"""The one train step: pure, and without the name of a method in it.

Augment, forward, loss, gradient, update, average, metrics: each part runs under
a `jax.named_scope` of that name, so that a profile shows it. A feature is a
function chosen while building, never a branch while tracing. Under `jit` on
global arrays, batch norm and every mean see the whole batch of all devices.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
from jax import named_scope
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import PyTree
import ml_collections
import optax

from semppl_jax.data.batch import Batch, StepInput
from semppl_jax.data.device import augment as augment_lib, views as views_lib
from semppl_jax.methods.base import Inputs, LossResult, Method, PseudoLabels
from semppl_jax.models import linear_probe
from semppl_jax.models.network import make_network, Network, Outputs
from semppl_jax.optim import optimizers, schedules
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.training import grad_cache, target_network
from semppl_jax.training.grad_cache import Forward, GradResult, ValueAndGrad
from semppl_jax.training.target_network import Target

Array = jax.Array
Metrics = dict[str, Array]
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
    target_state: batch-norm averages of the target network, or ().
    opt_state: optimizer state.
    memory: state of the method.
    probe: online linear probe, or ().
    dropped: updates dropped for a non-finite loss or gradient, int32.
  """

  step: Array
  seed: Array
  params: PyTree
  net_state: PyTree
  target_params: PyTree
  target_state: PyTree
  opt_state: PyTree
  memory: PyTree
  probe: PyTree
  dropped: Array


@dataclasses.dataclass(frozen=True, eq=False)
class TrainStep:
  """Train step of one config on one mesh; all its methods are pure.

  Attributes:
    config: config of the run.
    mesh: devices.
    method: loss, and all that is particular to a method.
    network: online network.
    target: target outputs of the loss.
    optimizer: optax transformation; its update takes the learning rate.
    learning_rate: schedule, from steps taken.
    ema_decay: schedule of the target's decay.
    probe: online linear probe.
    augment: photometric operations and normalization of views.
    crop: views of a `StepInput`.
    value_and_grad: gradient of the batch loss, in one pass or accumulated.
  """

  config: ml_collections.ConfigDict
  mesh: Mesh
  method: Method
  network: Network
  target: Target
  optimizer: optax.GradientTransformationExtraArgs
  learning_rate: optax.Schedule
  ema_decay: optax.Schedule
  probe: linear_probe.Probe
  augment: augment_lib.Augment
  crop: views_lib.ViewsFn
  value_and_grad: ValueAndGrad[LossResult]

  def init(self) -> TrainState:
    """Returns the state before the first step, with fresh parameters."""
    key = jax.random.fold_in(jax.random.key(self.config.seed), _INIT_STREAM)
    return self.start(*self.network.init(key, _example_views(self.config)))

  def start(self, params: PyTree, net_state: PyTree) -> TrainState:
    """Returns the state before the first step, from given parameters."""
    target_params, target_state = self.target.init(params, net_state)
    outputs, _ = jax.eval_shape(
      lambda params, net_state: self.network.apply(
        params, net_state, _example_views(self.config), False
      ),
      params,
      net_state,
    )
    return TrainState(
      step=jnp.zeros((), jnp.int32),
      seed=jnp.asarray(self.config.seed, jnp.uint32),
      params=params,
      net_state=net_state,
      target_params=target_params,
      target_state=target_state,
      opt_state=self.optimizer.init(params),
      memory=self.method.init_memory(),
      probe=self.probe.init(outputs.features.shape[-1]),
      dropped=jnp.zeros((), jnp.int32),
    )

  def views(self, inputs: StepInput, state: TrainState) -> Batch:
    """Returns the batch of a step; crops it where the devices do that."""
    key = jax.random.fold_in(jax.random.key(state.seed), _VIEW_STREAM)
    return self.crop(inputs, key, state.step)

  def train(
    self, state: TrainState, inputs: StepInput
  ) -> tuple[TrainState, Metrics]:
    """Takes one step.

    Args:
      state: train state.
      inputs: batch of views, or images of which the step crops its views.

    Returns:
      The next state, and metrics: float32 scalars, and values per example under
      names that begin with `rows/`.
    """
    key = jax.random.fold_in(jax.random.key(state.seed), _STEP_STREAM)
    key = jax.random.fold_in(key, state.step)
    with named_scope('augment'):
      batch = self.views(inputs, state)

    def forward(params: PyTree, rows: Batch, key: Array) -> Forward:
      with named_scope('augment'):
        views, support = self._augment(rows, key)
      with named_scope('forward'):
        online, net_state = self.network.apply(
          params, state.net_state, views, True, support
        )
      with named_scope('target'):
        target, target_state = self.target.forward(
          state.target_params, state.target_state, views[0]
        )
      return Forward(online, target, net_state, target_state)

    @named_scope('loss')
    def loss(
      online: Outputs, target: Outputs | None
    ) -> tuple[Array, LossResult]:
      targets = self.target.outputs(online, target, batch.large.shape[1])
      result = self.method.loss(
        Inputs(
          online=online,
          target=targets,
          batch=batch,
          memory=state.memory,
          key=jax.random.split(key, 4)[2],
          step=state.step,
          params=state.params,
        )
      )
      return result.loss, result

    with named_scope('gradient'):
      result = self.value_and_grad(forward, loss, state.params, batch, key)
    with named_scope('update'):
      new, metrics = self._update(state, result, batch)
    with named_scope('average'):
      new = self._average(new, result)
    with named_scope('metrics'):
      finite = _all_finite(metrics, new)
      new = _keep_finite(self.config.on_nonfinite, finite, state, new)
      metrics = result.aux.metrics | _deviation(result.forward.online) | metrics
      metrics['dropped'] = new.dropped.astype(jnp.float32)
      metrics |= self._per_example(batch, result.aux.pseudo_labels)
    return new, metrics

  def _augment(
    self, batch: Batch, key: Array
  ) -> tuple[tuple[Array, Array], Array | None]:
    """Views [B, L, H, W, 3] and [B, S, h, w, 3], and support, as float32."""
    large_key, small_key, _, support_key = jax.random.split(key, 4)
    large = self.augment(batch.large, large_key, batch.mask)
    small = self.augment(batch.small, small_key)
    support = batch.support and self.augment(batch.support.large, support_key)
    return (large, small), support

  def _update(
    self, state: TrainState, result: GradResult[LossResult], batch: Batch
  ) -> tuple[TrainState, Metrics]:
    """Updates the parameters, the memory and the probe."""
    learning_rate = self.learning_rate(state.step)
    grads = self.method.after_gradient(result.grads, state.step)
    updates, opt_state = self.optimizer.update(
      grads, state.opt_state, state.params, learning_rate=learning_rate
    )
    params = optax.apply_updates(state.params, updates)
    params = self.method.after_update(params, state.step)
    large = batch.large.shape[1]
    probe, probe_metrics = self.probe.update(
      state.probe, result.forward.online.features[:, :large], batch.label
    )
    new = state._replace(
      step=state.step + 1,
      params=params,
      opt_state=opt_state,
      memory=result.aux.memory,
      probe=probe,
    )
    return new, probe_metrics | {
      'loss/total': result.loss,
      'norm/grads': optax.tree.norm(grads),
      'norm/params': optax.tree.norm(params),
      'norm/updates': optax.tree.norm(updates),
      'schedule/learning_rate': jnp.asarray(learning_rate),
      'schedule/ema_decay': jnp.asarray(self.ema_decay(state.step)),
    } | optimizers.trust_ratio_metrics(state.params, grads, self.config)

  def _average(
    self, new: TrainState, result: GradResult[LossResult]
  ) -> TrainState:
    """Moves the target towards the parameters; takes batch-norm averages."""
    decay = self.ema_decay(new.step - 1)
    return new._replace(
      net_state=result.forward.net_state,
      target_params=self.target.update(new.target_params, new.params, decay),
      target_state=result.forward.target_state,
    )

  def _per_example(self, batch: Batch, labels: PseudoLabels | None) -> Metrics:
    """Pseudo-labels and identity of each row, sharded by row."""
    if labels is None:
      return {}
    values = {
      'label': labels.label,
      'share': labels.share,
      'voter': labels.neighbor_ids,
      'positive': labels.positive_ids,
      'index': batch.index,
      'given': batch.label,
      'true': batch.diagnostic_label,
    }
    by_row = mesh_lib.sharded(self.mesh)
    return {
      # Each process records its own rows: no collective is needed for it.
      f'{ROWS}{name}': jax.lax.with_sharding_constraint(x, by_row)
      for name, x in values.items()
      if x is not None
    }

  @functools.cached_property
  def state_sharding(self) -> TrainState:
    """Replicates the state on every device, except the method's memory."""
    replicated = mesh_lib.replicated(self.mesh)
    layout = jax.tree.map(lambda _: replicated, jax.eval_shape(self.init))
    if self.method.memory_sharding is None:
      return layout
    return layout._replace(memory=self.method.memory_sharding)


def make_train_step(
  config: ml_collections.ConfigDict,
  method: Method,
  mesh: Mesh,
  total_steps: int,
  warmup_steps: int,
) -> TrainStep:
  """Builds the train step of a config.

  Args:
    config: config of the run.
    method: loss, and all that is particular to a method.
    mesh: devices.
    total_steps: length of the learning-rate and averaging schedules.
    warmup_steps: steps of linear warm-up.
  """
  optimizer = optimizers.make_optimizer(config)
  if method.frozen:
    optimizer = optimizers.train_only(optimizer, 'classifier')
  return TrainStep(
    config=config,
    mesh=mesh,
    method=method,
    network=make_network(
      config.network,
      heads=method.heads,
      bn_groups=method.bn_groups,
      frozen=method.frozen,
      shards=mesh.size,
    ),
    target=target_network.make_target(config, method),
    optimizer=optimizer,
    learning_rate=schedules.learning_rate(
      config.optimizer, config.batch_size, warmup_steps, total_steps
    ),
    ema_decay=schedules.ema_decay(config.ema, total_steps),
    probe=linear_probe.make_probe(
      config.probe, config.network.classifier.classes
    ),
    augment=augment_lib.make_augment(config.augment, config.saliency),
    crop=views_lib.make_views(config, mesh),
    value_and_grad=make_value_and_grad(config.accumulate),
  )


def make_value_and_grad(microbatches: int) -> ValueAndGrad:
  """Returns `(forward, loss, params, batch, key) -> GradResult`.

  `forward(params, rows, key)` runs the networks on some rows of the batch;
  `loss(online, target)` returns the loss of the whole batch, and aux.
  """
  if microbatches > 1:
    return functools.partial(
      grad_cache.accumulated_value_and_grad, microbatches
    )

  def in_one_pass(forward, loss, params, batch, key):
    def batch_loss(params):
      outputs = forward(params, batch, key)
      value, aux = loss(outputs.online, outputs.target)
      return value, (aux, outputs)

    value_and_grad = jax.value_and_grad(batch_loss, has_aux=True)
    (value, (aux, outputs)), grads = value_and_grad(params)
    return GradResult(value, aux, grads, outputs)

  return in_one_pass


def _all_finite(metrics: Metrics, new: TrainState) -> Array:
  """Returns True if loss, gradient, update and batch-norm averages are finite.

  The update too: a finite gradient can still throw the parameters away.
  """
  checked = ('loss/total', 'norm/', 'schedule/', 'lars/')
  values = [x for name, x in metrics.items() if name.startswith(checked)]
  averages = [
    x.ravel()
    for x in jax.tree.leaves(new.net_state)
    if jnp.issubdtype(x.dtype, jnp.floating)
  ]
  return jnp.all(jnp.isfinite(jnp.stack(values))) & jnp.all(
    jnp.isfinite(jnp.concatenate(averages))
  )


def _keep_finite(
  policy: str, finite: Array, old: TrainState, new: TrainState
) -> TrainState:
  """Drops a non-finite update; under 'stop' also every update after it.

  Under 'stop' the state stays the one before the non-finite step until the host
  notices, so that it can be saved and replayed although steps run ahead.
  """
  keep = finite & (old.dropped == 0) if policy == 'stop' else finite
  kept = jax.tree.map(lambda a, b: jnp.where(keep, a, b), new, old)
  step = old.step + 1 if policy == 'skip' else kept.step
  return kept._replace(step=step, dropped=old.dropped + jnp.where(keep, 0, 1))


def _example_views(config: ml_collections.ConfigDict) -> tuple[Array, ...]:
  """Views of the config's sizes for two images, to shape the parameters."""
  return tuple(
    jnp.zeros((2, v.count, v.size, v.size, 3), jnp.float32)
    for v in (config.views.large, config.views.small)
  )


def _deviation(online: Outputs) -> Metrics:
  """Deviation of unit embeddings over the batch, 1 if spread evenly."""
  metrics = {}
  for name in ('features', 'projection'):
    x = getattr(online, name)
    if x is not None:
      x = x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
      spread = jnp.mean(jnp.std(x, axis=0)) * jnp.sqrt(jnp.float32(x.shape[-1]))
      metrics[f'deviation/{name}'] = spread
  return metrics
