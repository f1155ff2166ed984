"""What an evaluation works on: weights, data and settings, all checked."""

import dataclasses
import logging
import pathlib
from typing import Any

from jax.sharding import Mesh
import ml_collections
import numpy as np

from semppl_jax.config import loading
from semppl_jax.data import dataset, labels
from semppl_jax.exchange import load
from semppl_jax.models.weights import Weights
from semppl_jax.protocols import settings
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.runtime.errors import InputError
from semppl_jax.training import experiment as experiment_lib

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Context:
  """Everything that the protocols share.

  Attributes:
    config: settings of the evaluation.
    run: a complete training config for the weights and this data, which the
      input pipeline reads and classifiers are trained by.
    checkpoint: where the weights are, as it was given.
    weights: what is evaluated.
    splits: the data.
    subset: the labelled part of the train set.
    mesh: the devices.
    workdir: where results go.
    devices: the devices as they were given, or None.
    sweeps: filled by the protocols: what was tried, and what was chosen.
  """

  config: ml_collections.ConfigDict
  run: ml_collections.ConfigDict
  checkpoint: str
  weights: Weights
  splits: dataset.Splits
  subset: labels.LabelSubset
  mesh: Mesh
  workdir: pathlib.Path
  devices: Any = None
  sweeps: dict[str, Any] = dataclasses.field(default_factory=dict)

  @property
  def classes(self) -> int:
    """Number of classes C of the data."""
    return len(self.splits.train.class_names)

  @property
  def test(self) -> dataset.Dataset:
    """The test set, which has labels."""
    assert self.splits.test is not None
    return self.splits.test


def build(
  config: ml_collections.ConfigDict,
  checkpoint: str,
  workdir: pathlib.Path,
  devices: Any = None,
) -> Context:
  """Reads weights and data, and checks all settings, before any work.

  Args:
    config: settings of the evaluation.
    checkpoint: a run, imported weights, or a file of weights.
    workdir: where results go.
    devices: the devices to use (default: all).

  Raises:
    InputError: anything that cannot be evaluated, in a sentence each.
  """
  mesh = mesh_lib.make_mesh(devices)
  try:
    weights = load.load(checkpoint)
    run = training_config(config, weights, mesh)
    problems = [
      *settings.problems(config),
      *settings.misfits(config, weights),
      *experiment_lib.check(run, mesh),
    ]
    if problems:
      raise InputError('\n'.join(problems))
    splits = dataset.load(run.data)
    subset = labels.select(run.data, splits.train)
    _check_test(splits.test)
  except InputError:
    raise
  except ValueError as error:
    raise InputError(str(error)) from error
  return Context(
    config,
    run,
    checkpoint,
    weights,
    splits,
    subset,
    mesh,
    workdir,
    devices,
  )


def training_config(
  config: ml_collections.ConfigDict, weights: Weights, mesh: Mesh
) -> ml_collections.ConfigDict:
  """A training config with the weights' network and the evaluation's data.

  Raises:
    InputError: the data is that of a run, and the weights are of none.
  """
  if config.data.kind == 'run' and weights.config is None:
    raise InputError(
      f"config.data.kind='run', but {weights.origin} is not from a run here;"
      f' name the data: config.data.kind may be {", ".join(dataset.KINDS)}.'
    )
  _check_data_fields(config)
  own = weights.config or loading.base()
  c = loading.copy(own)
  # The train step of the evaluation is one more supervised one.
  c.method = 'supervised'
  c.seed = config.seed
  # That of the run says how its own, larger batches fit.
  c.accumulate = 1
  c.network = loading.copy(weights.network)
  if config.data.kind != 'run':
    c.data = loading.copy(config.data)
  seen, asked = weights.preprocessing, config.images
  c.eval.update(
    # Whole rows on every device.
    batch_size=-(-config.batch_size // mesh.size) * mesh.size,
    resize=asked.resize or seen.resize,
    crop=asked.crop or seen.crop,
  )
  # Those of a run that trains here are its recipe's.
  c.batch_size, c.data.labelled_per_batch = c.eval.batch_size, 0
  c.views.interpolation = asked.interpolation or seen.interpolation
  c.augment.update(mean=seen.mean, std=seen.std)
  return c.lock()


def _check_data_fields(config: ml_collections.ConfigDict) -> None:
  """Stops where data is described, and then that of the run is taken."""
  if config.data.kind != 'run':
    return
  plain = loading.load('configs/evaluate/base.py').data
  changed = [name for name in plain if config.data[name] != plain[name]]
  if changed:
    raise InputError(
      f"config.data.{changed[0]} says nothing where config.data.kind='run',"
      ' which takes the data of the run as it was; set the kind, and the fields'
      ' that describe the data.'
    )


def _check_test(test: dataset.Dataset | None) -> None:
  if test is None:
    raise InputError(
      'There is no test set to judge by; name data that has one:'
      ' config.data.kind, and with it test_split or test_path.'
    )
  if not (test.labels >= 0).any():
    raise InputError(
      f'The test set {test.name!r} hides its labels: all {test.size} are -1,'
      ' and nothing can be judged by it; name another.'
    )
  seen = np.unique(test.labels[test.labels >= 0])
  empty = len(test.class_names) - len(seen)
  if empty:
    _log.info(
      'The test set %r has no image of %d of its %d classes; means are over'
      ' the others.',
      test.name,
      empty,
      len(test.class_names),
    )
