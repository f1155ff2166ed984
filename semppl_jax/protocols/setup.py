"""Setup of an evaluation: weights, data and config, all checked before work."""

from collections.abc import Iterator, Sequence
import dataclasses
import logging
import pathlib
import types

from jax.sharding import Mesh
import ml_collections
import numpy as np

from semppl_jax.config import constraints, durations, loading
from semppl_jax.config.constraints import (
  COUNT,
  FRACTION,
  NON_NEGATIVE,
  POSITIVE,
  Range,
  SEED,
)
from semppl_jax.data import dataset, labels
from semppl_jax.exchange import load
from semppl_jax.models.network import CLASSIFIER_INPUTS
from semppl_jax.models.weights import Weights
from semppl_jax.optim import optimizers
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.runtime.errors import InputError
from semppl_jax.runtime.mesh import Device
from semppl_jax.training import experiment as experiment_lib

_log = logging.getLogger(__name__)

RECIPES = ('linear', 'finetune', 'suncet', 'baseline')
_AREA = FRACTION._replace(open_low=True)
_OPEN_SHARE = Range(0, 1, open_low=True, open_high=True)

_CONSTRAINTS = constraints.Constraints(
  ranges={
    'seed': SEED,
    'batch_size': COUNT,
    'held_out': _OPEN_SHARE,
    'images.resize': NON_NEGATIVE,
    'images.crop': NON_NEGATIVE,
    'knn.temperature': POSITIVE,
    'soft_nn.temperature': POSITIVE,
    'suncet.final_learning_rate': NON_NEGATIVE,
    'suncet.temperature': POSITIVE,
    'suncet.views': COUNT,
    'robustness.images': NON_NEGATIVE,
    **{f'{recipe}.batch_size': Range(2) for recipe in RECIPES},
    **{f'{recipe}.reference_batch': NON_NEGATIVE for recipe in RECIPES},
    **{f'{recipe}.momentum': Range(0, 1, open_high=True) for recipe in RECIPES},
  },
  tuples={
    'knn.k': (COUNT, None),
    'linear.regularisers': (POSITIVE, None),
    'transfer.regularisers': (POSITIVE, None),
    **{f'{recipe}.learning_rates': (POSITIVE, None) for recipe in RECIPES},
    **{f'{recipe}.weight_decays': (NON_NEGATIVE, None) for recipe in RECIPES},
    **{
      f'{recipe}.area': (FRACTION._replace(open_low=True), 2)
      for recipe in RECIPES
    },
  },
  intervals=tuple(f'{recipe}.area' for recipe in RECIPES),
  choices={
    'images.interpolation': ('', 'bicubic', 'bilinear'),
    'soft_nn.embedding': ('encoder', 'projection', 'prediction'),
    'linear.labels': ('labelled', 'train'),
    **{f'{recipe}.optimizer': optimizers.NAMES for recipe in RECIPES},
    **{f'{recipe}.classify': CLASSIFIER_INPUTS for recipe in RECIPES},
  },
)
_SUPPORTS = ('labelled', 'train')


@dataclasses.dataclass(frozen=True)
class Context:
  """Inputs that all protocols share.

  Attributes:
    config: config of the evaluation.
    run: complete training config for these weights and this data; the input
      pipeline reads it, and classifiers are trained with it.
    checkpoint: path of the weights, as given.
    weights: the weights under evaluation.
    splits: the data.
    subset: the labelled part of the train set.
    mesh: the devices.
    workdir: directory of the results.
    devices: devices as given, or None.
    sweeps: filled by the protocols: candidates and the chosen one, per sweep.
  """

  config: ml_collections.ConfigDict
  run: ml_collections.ConfigDict
  checkpoint: str
  weights: Weights
  splits: dataset.Splits
  subset: labels.LabelSubset
  mesh: Mesh
  workdir: pathlib.Path
  devices: Sequence[Device] | None = None
  sweeps: dict[str, object] = dataclasses.field(default_factory=dict)

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
  devices: Sequence[Device] | None = None,
) -> Context:
  """Reads weights and data, and checks the whole config, before any work.

  Args:
    config: config of the evaluation.
    checkpoint: a run, imported weights, or a file of weights.
    workdir: directory of the results.
    devices: devices to use (default: all).

  Raises:
    InputError: something cannot be evaluated; one sentence for each problem.
  """
  mesh = mesh_lib.make_mesh(devices)
  try:
    weights = load.load(checkpoint)
    run = training_config(config, weights, mesh)
    problems = [
      *config_problems(config),
      *_weights_problems(config, weights),
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
    config, run, checkpoint, weights, splits, subset, mesh, workdir, devices
  )


def training_config(
  config: ml_collections.ConfigDict, weights: Weights, mesh: Mesh
) -> ml_collections.ConfigDict:
  """Returns a training config with the network and the evaluation's data.

  Raises:
    InputError: the config asks for the data of a run, and the weights are not
      from a run.
  """
  if config.data.kind == 'run' and weights.config is None:
    raise InputError(
      f"config.data.kind='run', but {weights.origin} is not from a run;"
      f' config.data.kind may be {", ".join(dataset.KINDS)}.'
    )
  if config.data.kind == 'run':
    defaults = loading.load('configs/evaluate/base.py').data
    changed = [k for k in defaults if config.data[k] != defaults[k]]
    if changed:
      raise InputError(
        f"config.data.{changed[0]} has no effect with config.data.kind='run',"
        ' which takes the data of the run; set config.data.kind as well.'
      )
  c = loading.copy(weights.config or loading.base())
  # Classifiers are trained by a supervised train step.
  c.method = 'supervised'
  c.seed = config.seed
  # The run's value is for its own, larger batches.
  c.accumulate = 1
  c.network = loading.copy(weights.network)
  if config.data.kind != 'run':
    c.data = loading.copy(config.data)
  own, asked = weights.preprocessing, config.images
  c.eval.update(
    # The same number of rows on every device.
    batch_size=-(-config.batch_size // mesh.size) * mesh.size,
    resize=asked.resize or own.resize,
    crop=asked.crop or own.crop,
  )
  # A recipe sets the batch size of its own training runs.
  c.batch_size, c.data.labelled_per_batch = c.eval.batch_size, 0
  c.views.interpolation = asked.interpolation or own.interpolation
  c.augment.update(mean=own.mean, std=own.std)
  return c.lock()


def config_problems(config: ml_collections.ConfigDict) -> list[str]:
  """Returns one sentence for each field whose value is not allowed."""
  problems = [*constraints.violations(config, _CONSTRAINTS)]
  for field in (f'{r}.{d}' for r in RECIPES for d in ('duration', 'warmup')):
    duration = constraints.get(config, field)
    try:
      steps = durations.steps(duration, 1, 1)
    except ValueError as error:
      problems.append(f'config.{field}={duration!r}: {error}')
      continue
    if field.endswith('.duration') and not steps:
      problems.append(constraints.must(config, field, 'be longer than 0'))
  names = config.knn.support
  if not names or set(names) - set(_SUPPORTS):
    allowed = f'be one or both of {", ".join(_SUPPORTS)}'
    problems.append(constraints.must(config, 'knn.support', allowed))
  return problems


def _weights_problems(
  config: ml_collections.ConfigDict, weights: Weights
) -> Iterator[str]:
  """Yields one sentence for each field that does not suit the weights."""
  for recipe in ('linear', 'finetune'):
    hidden = config[recipe].classify == 'projector_hidden'
    if hidden and 'projector' not in weights.heads:
      field = f'{recipe}.classify'
      yield constraints.must(
        config, field, f"be 'features', as {weights.origin} has no projector"
      )
  resize = config.images.resize or weights.preprocessing.resize
  crop = config.images.crop or weights.preprocessing.crop
  if crop > resize:
    yield (
      f'config.images.crop={config.images.crop} and resize='
      f'{config.images.resize} must leave a crop ({crop}) of at most the short'
      f' side ({resize}).'
    )


def _check_test(test: dataset.Dataset | None) -> None:
  if test is None:
    raise InputError(
      'There is no test set; name data that has one in config.data.kind, and'
      ' with it test_split or test_path.'
    )
  known = test.labels[test.labels >= 0]
  if not len(known):
    raise InputError(
      f'The test set {test.name!r} has no labels: all {test.size} are -1;'
      ' name another.'
    )
  classes = len(test.class_names)
  empty = classes - len(np.unique(known))
  if empty:
    _log.info(
      'The test set %r has no image of %d of its %d classes; means are over'
      ' the others.',
      test.name,
      empty,
      classes,
    )


def select_sets(
  field: str, requested: str, catalog: types.ModuleType, data_dir: str
) -> list[str]:
  """Returns the requested sets, or all sets on the disk if none is requested.

  Args:
    field: the config field, for messages.
    requested: names separated by commas, or ''.
    catalog: module of the known sets, with `SETS` and `absent`.
    data_dir: folder of prepared data sets; '' for that of tensorflow_datasets.

  Raises:
    InputError: a requested set is unknown or not on the disk.
  """
  names = [name.strip() for name in requested.split(',') if name.strip()]
  if not names:
    known = catalog.SETS
    present = [n for n in known if not catalog.absent(n, data_dir)]
    if len(present) < len(known):
      missing = len(known) - len(present)
      _log.info('%s: %d of %d sets not found.', field, missing, len(known))
    return present
  for name in names:
    try:
      reason = catalog.absent(name, data_dir)
    except ValueError as error:
      reason = str(error)
    if reason:
      raise InputError(f'config.{field}={requested!r}: {reason}')
  return names
