"""Ahead-of-time compilation: the train step from shapes alone.

A step can be traced and compiled, its arithmetic counted and its state restored
without the data and without the devices of its mesh.
"""

import logging
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.typing import DTypeLike
import ml_collections

from semppl_jax import methods
from semppl_jax.config import loading
from semppl_jax.data.batch import (
  Batch,
  Canvas,
  Support,
  UncroppedBatch,
  UncroppedSupport,
)
from semppl_jax.methods.base import Method, MethodContext
from semppl_jax.runtime import device_memory, mesh as mesh_lib
from semppl_jax.runtime.errors import InputError
from semppl_jax.training import experiment as experiment_lib
from semppl_jax.training.train_step import (
  make_train_step,
  StepInput,
  TrainState,
  TrainStep,
)

_log = logging.getLogger(__name__)
# Schedules need a length; what is compiled does not depend on it.
_TOTAL_STEPS, _WARMUP_STEPS = 1000, 10
# Nor on the data, and a probe needs a number of classes: ImageNet's.
_CLASSES = 1000


class AbstractRun(NamedTuple):
  """Config, mesh and method of a run, without its data.

  Attributes:
    config: config with a number of classes.
    mesh: devices; they need not be there.
    method: loss, and all that is particular to a method.
  """

  config: ml_collections.ConfigDict
  mesh: Mesh
  method: Method


def make_abstract_run(
  config: ml_collections.ConfigDict, mesh: Mesh
) -> AbstractRun:
  """Checks a config as far as it can be checked, and builds its method.

  Args:
    config: config of the run.
    mesh: devices.

  Raises:
    InputError: fields are impossible; names all of them.
  """
  problems = experiment_lib.check(config, mesh)
  if problems:
    raise InputError('\n'.join(problems))
  config = experiment_lib.with_classes(config, _CLASSES)
  # Lengths of durations in epochs change no shape.
  examples = _TOTAL_STEPS * config.batch_size
  method = methods.make(
    config, MethodContext(mesh, config.batch_size, examples)
  )
  return AbstractRun(config, mesh, method)


def abstract_step(run: AbstractRun) -> TrainStep:
  """Builds the train step of an abstract run."""
  return make_train_step(
    run.config, run.method, run.mesh, _TOTAL_STEPS, _WARMUP_STEPS
  )


def abstract_state(step: TrainStep) -> TrainState:
  """Returns shapes of the train state, with their shardings."""
  return jax.tree.map(
    lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
    jax.eval_shape(step.init),
    step.state_sharding,
  )


def abstract_batch(
  config: ml_collections.ConfigDict, mesh: Mesh, support: bool = False
) -> Batch | UncroppedBatch:
  """Returns shapes of one batch [B, ...], sharded by row.

  With the masks of `config.data.saliency`, not those of records.

  Args:
    config: config of the run.
    mesh: devices.
    support: True if labelled rows come with it, as `Method.support` says.
  """
  rows = mesh_lib.sharded(mesh)

  def array(dtype: DTypeLike, *shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype, sharding=rows)

  def crops(count: int, views: int, size: int) -> jax.ShapeDtypeStruct:
    return array(jnp.uint8, count, views, size, size, 3)

  def canvas(count: int, masked: bool) -> Canvas:
    height, width = config.data.canvas
    return Canvas(
      image=array(jnp.uint8, count, height, width, 3),
      extent=array(jnp.int32, count, 2),
      mask=array(jnp.uint8, count, height, width) if masked else None,
      transposed=array(jnp.bool_, count),
    )

  large, small, s = config.views.large, config.views.small, config.support
  batch, labelled = config.batch_size, s.classes_per_batch * s.images_per_class
  number, column = (array(jnp.int32, n) for n in (batch, labelled))
  masked = bool(config.data.saliency and config.saliency.probability)
  if config.data.crops == 'device':
    uncut_support = None
    if support:
      uncut_support = UncroppedSupport(
        canvas(labelled, False), column, column, column
      )
    return UncroppedBatch(
      canvas(batch, masked), number, number, number, uncut_support
    )
  mask = support_rows = None
  if masked:
    mask = array(jnp.uint8, batch, large.count, large.size, large.size)
  if support:
    images = crops(labelled, s.views, large.size)
    support_rows = Support(images, column, column, column)
  return Batch(
    large=crops(batch, large.count, large.size),
    small=crops(batch, small.count, small.size),
    label=number,
    index=number,
    diagnostic_label=number,
    mask=mask,
    support=support_rows,
  )


def lower(
  step: TrainStep, state: TrainState, inputs: StepInput
) -> jax.stages.Lowered:
  """Traces the step as a run compiles it: donated state, fixed layout.

  Args:
    step: train step.
    state: train state, or its shapes with shardings.
    inputs: input of the step, likewise.
  """
  # Metrics keep the layout of the step: scalars replicated, rows sharded.
  shardings = step.state_sharding, None
  jitted = jax.jit(step.train, donate_argnums=0, out_shardings=shardings)
  return jitted.lower(state, inputs)


def lower_abstract(
  run: AbstractRun, inputs: StepInput | None = None
) -> jax.stages.Lowered:
  """Traces the train step by shapes alone.

  Args:
    run: config, method and devices.
    inputs: shapes of the input (default: `abstract_batch`).
  """
  step = abstract_step(run)
  if inputs is None:
    inputs = abstract_batch(run.config, run.mesh, run.method.support)
  return lower(step, abstract_state(step), inputs)


def compile_step(
  step: TrainStep, state: TrainState, inputs: StepInput
) -> jax.stages.Compiled:
  """Compiles the step for a run: a changed shape is then an error.

  Raises:
    InputError: the step does not fit the memory of a device.
  """
  start = time.monotonic()
  lowered = lower(step, state, inputs)
  try:
    compiled = lowered.compile()
  except jax.errors.JaxRuntimeError as error:
    if not device_memory.is_out_of_memory(error):
      raise
    devices = mesh_lib.describe(step.mesh)
    raise InputError(device_memory.too_large(step.config, devices)) from error
  _log.info('Compiled the step in %.0f s.', time.monotonic() - start)
  return compiled


def model_flops(config: ml_collections.ConfigDict) -> float | None:
  """Returns FLOP of one step over all devices, or None without a CPU.

  Counts the whole batch in one pass, with nothing computed twice, whatever
  `config.accumulate` and `config.network.remat` are: so model FLOP/s
  utilization is defined (Chowdhery et al., arXiv 2204.02311, appendix B).

  Args:
    config: config of the run, with a number of classes.
  """
  try:
    # Accelerators do not count what is not compiled.
    cpu = jax.local_devices(backend='cpu')[:1]
  except RuntimeError:
    return None
  config = loading.copy(config)
  # The body of a loop is counted once, however often it runs.
  config.accumulate, config.network.remat = 1, 'none'
  run = make_abstract_run(config, mesh_lib.make_mesh(cpu))
  cost = lower_abstract(run).cost_analysis()
  # Some versions of JAX wrap it in a list.
  cost = cost[0] if isinstance(cost, list) else cost
  return None if cost is None else cost['flops']


def without_photometric(run: AbstractRun) -> AbstractRun:
  """Returns the run without color operations and blur."""
  config = loading.copy(run.config)
  config.augment.update(jitter=0.0, grayscale=0.0, equalize=0.0)
  config.augment.update(blur=(0.0, 0.0), solarize=(0.0, 0.0))
  return run._replace(config=config.lock())
