"""Experiment: data, labels, method and step of a run, all checked."""

from collections.abc import Sequence
import logging
from typing import NamedTuple

import jax
from jax.sharding import Mesh
import ml_collections

from semppl_jax import __version__, methods
from semppl_jax.config import durations, loading
from semppl_jax.data import dataset, labels, masks
from semppl_jax.exchange import load
from semppl_jax.methods.base import Method, MethodContext
from semppl_jax.models import weights as weights_lib
from semppl_jax.models.weights import Weights, WeightsError
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.runtime.errors import InputError
from semppl_jax.runtime.mesh import Device
from semppl_jax.training import checkpoint, config_checks
from semppl_jax.training.train_step import (
  make_train_step,
  TrainState,
  TrainStep,
)

_log = logging.getLogger(__name__)
# Fields that may differ between the hosts of a run.
_PER_HOST_FIELDS = (
  'data.path',
  'data.test_path',
  'data.labels_file',
  'data.saliency',
  'data.threads',
  'data.prefetch',
)
# Fields of `config.network` that an encoder's features depend on.
_ENCODER_FIELDS = (
  'backbone', 'width', 'selective_kernels', 'stem', 'padding', 'bn_eps',
)  # fmt: skip


class Experiment(NamedTuple):
  """A config on given devices and data.

  Attributes:
    config: config, with the number of classes of the data.
    mesh: devices.
    splits: train and test set.
    subset: train images that keep their label.
    method: loss, and all that is particular to a method.
    step: train step and its initial state.
    total_steps: length of the run.
    eval_every: steps between evaluations; 0: none.
    save_every: steps between checkpoints.
    log_every: steps between records.
    weights: pre-trained weights to start from, or None.
  """

  config: ml_collections.ConfigDict
  mesh: Mesh
  splits: dataset.Splits
  subset: labels.LabelSubset
  method: Method
  step: TrainStep
  total_steps: int
  eval_every: int
  save_every: int
  log_every: int
  weights: Weights | None


def build(
  config: ml_collections.ConfigDict,
  devices: Sequence[Device] | None = None,
) -> Experiment:
  """Loads the data, checks every field and builds the step.

  Args:
    config: config of the run.
    devices: devices to use (default: all).

  Raises:
    InputError: the data cannot be read, or fields are impossible; names all of
      them, before anything is compiled.
  """
  mesh = mesh_lib.make_mesh(devices)
  _raise_any(check(config, mesh))
  try:
    splits = masks.load(config)
    subset = labels.select(config.data, splits.train)
  except ValueError as error:
    raise InputError(str(error)) from error
  _raise_any(check(config, mesh, splits, subset))
  examples = len(splits.train.ids)

  def steps(duration: str) -> int:
    return durations.steps(duration, config.batch_size, examples)

  config = with_classes(config, len(splits.train.class_names))
  method = methods.make(
    config, MethodContext(mesh, config.batch_size, examples)
  )
  total = steps(config.duration)
  step = make_train_step(
    config, method, mesh, total, steps(config.optimizer.warmup)
  )
  return Experiment(
    config=config,
    mesh=mesh,
    splits=splits,
    subset=subset,
    method=method,
    step=step,
    total_steps=total,
    eval_every=steps(config.eval.every),
    save_every=steps(config.checkpoint.every),
    log_every=steps(config.log_every),
    weights=_first_weights(config, step),
  )


def with_classes(
  config: ml_collections.ConfigDict, classes: int
) -> ml_collections.ConfigDict:
  """Returns a copy with this number of classes, unless the config has one."""
  config = loading.copy(config)
  if not config.network.classifier.classes:
    config.network.classifier.classes = classes
  return config.lock()


def _first_weights(
  config: ml_collections.ConfigDict, step: TrainStep
) -> Weights | None:
  """Reads `init_from` and compares it with the network, before any work."""
  path = config.init_from
  if not path:
    return None
  like = jax.eval_shape(step.init)
  try:
    weights = load.load(path)
    _compare_encoders(config, weights)
    _, _, heads = weights_lib.merge(
      weights, like.params, like.net_state, config.init_heads
    )
  except ValueError as error:
    raise InputError(f'config.init_from={path!r}: {error}') from error
  _log.info(
    'Starting from %s: encoder%s.',
    weights.origin,
    ''.join(f', {head}' for head in heads),
  )
  return weights


def _compare_encoders(
  config: ml_collections.ConfigDict, weights: Weights
) -> None:
  """Checks that the encoder would compute what that of the weights computes.

  Another padding or epsilon has the same shapes and other features.

  Raises:
    WeightsError: names the fields to set.
  """
  differ = [
    f'--config.network.{name}={weights.network[name]}'
    for name in _ENCODER_FIELDS
    # Weights of older versions may lack a field.
    if weights.network.get(name, config.network[name]) != config.network[name]
  ]
  if differ:
    raise WeightsError(
      f'the weights are of {weights.network.backbone}, and config.network is'
      f' another network; set {" ".join(differ)}.'
    )
  normalization = {
    name: (tuple(getattr(weights.preprocessing, name)), config.augment[name])
    for name in ('mean', 'std')
  }
  for name, (own, used) in normalization.items():
    if own != tuple(used):
      _log.warning(
        'The weights were trained with %s=%s of the pixels, and'
        ' config.augment.%s=%s; set --config.augment.%s="%s" for the same'
        ' features.',
        name, own, name, tuple(used), name, own,
      )  # fmt: skip


def initial_state(experiment: Experiment) -> TrainState:
  """Returns the state before the first step, laid out over the devices."""
  state = untrained_state(experiment)
  if experiment.weights is None:
    return state
  params, net_state, _ = weights_lib.merge(
    experiment.weights,
    state.params,
    state.net_state,
    experiment.config.init_heads,
  )
  layout = experiment.step.state_sharding
  return jax.jit(experiment.step.start, out_shardings=layout)(params, net_state)


def untrained_state(experiment: Experiment) -> TrainState:
  """Returns a fresh state, whatever weights the run starts from."""
  layout = experiment.step.state_sharding
  return jax.jit(experiment.step.init, out_shardings=layout)()


def shared_settings(config: ml_collections.ConfigDict) -> dict[str, object]:
  """Returns what must be equal on every process of a run."""
  return {
    'version of semppl_jax': __version__,
    'version of jax': jax.__version__,
    **{
      f'config.{name}': value
      for name, value in loading.to_flat_dict(config).items()
      if not name.startswith(_PER_HOST_FIELDS)
    },
  }


def _raise_any(problems: list[str]) -> None:
  if problems:
    raise InputError('\n'.join(problems))


def check(
  config: ml_collections.ConfigDict,
  mesh: Mesh,
  splits: dataset.Splits | None = None,
  subset: labels.LabelSubset | None = None,
) -> list[str]:
  """Returns every problem of a config, with or without its data at hand."""
  return config_checks.problems(
    config,
    device_count=mesh.size,
    process_count=jax.process_count(),
    examples=len(splits.train.ids) if splits else None,
    classes=len(splits.train.class_names) if splits else None,
    labelled=len(subset.index) if subset else None,
  )


def identity(experiment: Experiment) -> checkpoint.Identity:
  """Returns what a checkpoint must share with a run to continue it."""
  train = experiment.splits.train
  return checkpoint.Identity(
    config=loading.to_flat_dict(experiment.config),
    data=train.fingerprint,
    labels=experiment.subset.hash,
    labelled=train.ids[experiment.subset.index],
    class_names=tuple(train.class_names),
    masks=train.masks.checksum if train.masks else '',
  )
