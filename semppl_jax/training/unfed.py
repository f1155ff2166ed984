"""A config's method and train step, made without its data."""

from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh
import ml_collections

from semppl_jax import methods
from semppl_jax.config import loading
from semppl_jax.methods.base import Method, Setting
from semppl_jax.training import aot, experiment, train_step as train_step_lib

# Schedules need a length; what is compiled does not depend on it.
_TOTAL_STEPS, _WARMUP_STEPS = 1000, 10
# Nor is the data at hand, and a probe needs a number of classes: ImageNet's.
_CLASSES = 1000


class Unfed(NamedTuple):
  """What a config means on some devices, whatever its data.

  Attributes:
    config: the config, which names a number of classes.
    mesh: the devices; they need not be there.
    method: what to learn by.
  """

  config: ml_collections.ConfigDict
  mesh: Mesh
  method: Method


def make(config: ml_collections.ConfigDict, mesh: Mesh) -> Unfed:
  """Checks a config as far as it can be checked, and builds its method.

  Args:
    config: the run's config.
    mesh: the devices.

  Raises:
    experiment.InputError: fields are impossible; names all of them.
  """
  problems = experiment.check(config, mesh)
  if problems:
    raise experiment.InputError('\n'.join(problems))
  config = experiment.with_classes(config, _CLASSES)
  # Lengths of durations in epochs change no shape.
  setting = Setting(mesh, config.batch_size, _TOTAL_STEPS * config.batch_size)
  return Unfed(config, mesh, methods.make(config, setting))


def step(run: Unfed) -> train_step_lib.Step:
  """Builds the train step that a run of this config takes."""
  return train_step_lib.make_step(
    run.config, run.method, run.mesh, _TOTAL_STEPS, _WARMUP_STEPS
  )


def lower(run: Unfed, batch: Any = None) -> jax.stages.Lowered:
  """Traces the train step by shapes alone.

  Args:
    run: the config, its method and its devices.
    batch: shapes of what the step is given (default: of a `Batch`, or of an
      `Uncut` where the config says so).
  """
  made, mesh = step(run), run.mesh
  if batch is None:
    batch = aot.batch_like(run.config, mesh, run.method.support)
  return aot.lower(made, aot.state_like(made), batch)


def without_colours(run: Unfed) -> Unfed:
  """Returns the same without operations on colours and blur."""
  config = loading.copy(run.config)
  config.augment.update(jitter=0.0, grayscale=0.0, equalize=0.0)
  config.augment.update(blur=(0.0, 0.0), solarize=(0.0, 0.0))
  return run._replace(config=config.lock())
