"""Configs of a comparison, the config of each of their runs, and their data."""

from collections.abc import Mapping, Sequence
import pathlib
from typing import NamedTuple

import ml_collections

from semppl_jax.config import loading
from semppl_jax.config.loading import ConfigError
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.runtime.errors import InputError
from semppl_jax.training import experiment as experiment_lib
from semppl_jax.training.experiment import Experiment

Details = dict[str, object]
_NO_TEST_SET = (
  'there is no test set with labels to compare by; name one, as in'
  ' --set=data.test_holdout=0.1.'
)


class Entry(NamedTuple):
  """Unique name, file and config, with overrides, of one compared config."""

  name: str
  file: str
  config: ml_collections.ConfigDict


class Data(NamedTuple):
  """Number of classes, and fingerprints of train and test set."""

  classes: int
  train: str
  test: str


class Summary(NamedTuple):
  """Facts of the report that are known before a run.

  Attributes:
    shared: facts that the configs share.
    own: facts of each config, by its name.
    data: data of each config, by its name.
  """

  shared: Details
  own: dict[str, Details]
  data: dict[str, Data]


def load(files: Sequence[str], overrides: Sequence[str] = ()) -> list[Entry]:
  """Reads the config files, and sets the overrides `'field=value'` in all.

  Raises:
    ConfigError: a file or a field is not found, or two files share a name.
  """
  if not files:
    raise ConfigError(
      '--configs=FILE,FILE is missing, as in --configs=configs/quickstart.py,'
      'configs/simclr_quickstart.py.'
    )
  entries: dict[str, Entry] = {}
  for file in files:
    name = pathlib.Path(file).stem
    if name in entries:
      raise ConfigError(
        f'--configs has {entries[name].file} and {file}: both are called'
        f' {name!r} in the results; rename one.'
      )
    entries[name] = Entry(name, file, _load(file, overrides))
  return list(entries.values())


def _load(file: str, overrides: Sequence[str]) -> ml_collections.ConfigDict:
  for override in overrides:
    if '=' not in override:
      raise ConfigError(
        f'--set={override} must be a field and a value, as in'
        ' --set=batch_size=128.'
      )
  try:
    return loading.load(file, overrides)
  except ConfigError as error:
    # The flags have other names here than in the other programs.
    sentence = str(error).replace('--config.', '--set=')
    raise ConfigError(sentence.replace('--config=', '--configs=')) from error


def run_config(
  entry: Entry, seed: int, steps: int, every: int, baselines: bool = False
) -> ml_collections.ConfigDict:
  """Returns the config of one run.

  Args:
    entry: config of the comparison.
    seed: seed of network, order and crops; and of the labelled images, so that
      all methods of a seed have the same ones.
    steps: length.
    every: steps between evaluations.
    baselines: True to also evaluate raw pixels and the untrained encoder.
  """
  config = loading.copy(entry.config)
  config.seed = config.data.labels_seed = seed
  config.duration = f'{steps} steps'
  config.eval.every = f'{every} steps'
  config.eval.baselines = baselines
  return config.lock()


def summarize(configs: Mapping[str, ml_collections.ConfigDict]) -> Summary:
  """Checks every config against its data, and summarizes both.

  Raises:
    InputError: a config or its data cannot be used, or there is no test set.
  """
  shared, own, data = {}, {}, {}
  for name, config in configs.items():
    try:
      experiment = experiment_lib.build(config)
    except InputError as error:
      raise InputError(f'{name}: {error}') from error
    train, test = experiment.splits.train, experiment.splits.test
    if test is None or not (test.labels >= 0).any():
      raise InputError(f'{name}: {_NO_TEST_SET}')
    shared = shared or _shared(experiment, len(test.ids))
    own[name] = _own(experiment)
    data[name] = Data(
      len(train.class_names), train.fingerprint, test.fingerprint
    )
  return Summary(shared, own, data)


def check_lengths(configs: Mapping[str, ml_collections.ConfigDict]) -> None:
  """Checks configs whose length was not known to `summarize`.

  Raises:
    InputError: a config cannot be used.
  """
  problems = [
    f'{name}: {problem}'
    for name, config in configs.items()
    for problem in experiment_lib.check(config, mesh_lib.make_mesh())
  ]
  if problems:
    raise InputError('\n'.join(problems))


def _shared(experiment: Experiment, test_images: int) -> Details:
  train, config = experiment.splits.train, experiment.config
  views = (config.views.large, config.views.small)
  network = config.network.backbone
  if config.network.width != 1:
    network += f' x{config.network.width}'
  if config.network.selective_kernels:
    network += ' with selective kernels'
  return {
    'data': train.name,
    'train_images': len(train.ids),
    'train_images_with_label': int((train.labels >= 0).sum()),
    'labelled_images': len(experiment.subset.index),
    'test_images': test_images,
    'classes': len(train.class_names),
    'network': network,
    'batch_size': config.batch_size,
    'views': ' + '.join(f'{v.count} x {v.size} px' for v in views if v.count),
    'knn_k': config.eval.headline_k,
    'devices': mesh_lib.describe(experiment.mesh),
  }


def _own(experiment: Experiment) -> Details:
  method, support = experiment.method, experiment.config.support
  return {
    'method': method.name,
    # A frozen encoder was trained on other images.
    'labels_only': not (method.unlabelled or method.frozen),
    'support': support.to_dict() if method.support else None,
  }
