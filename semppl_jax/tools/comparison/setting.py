"""What the runs of a comparison are given, once their data is at hand."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import ml_collections

from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.runtime.errors import InputError
from semppl_jax.training import experiment as experiment_lib
from semppl_jax.training.experiment import Experiment


class Data(NamedTuple):
  """What the runs of a config train on and are judged by.

  Attributes:
    classes: C.
    train: fingerprint of the train set.
    test: of the test set.
  """

  classes: int
  train: str
  test: str


class Setting(NamedTuple):
  """What there is to say of the configs of a comparison.

  Attributes:
    shared: what they share, as the first of them has it.
    own: what each has of its own.
    data: the data of each.
  """

  shared: dict[str, Any]
  own: dict[str, dict[str, Any]]
  data: dict[str, Data]


def gather(configs: Mapping[str, ml_collections.ConfigDict]) -> Setting:
  """Checks every config against its data, and says what is in them.

  Args:
    configs: a run's config by the name of its method.

  Raises:
    InputError: a config or its data cannot be used, or there is no test set.
  """
  shared, own, data = {}, {}, {}
  for name, config in configs.items():
    try:
      experiment = experiment_lib.build(config)
    except InputError as error:
      raise InputError(f'{name}: {error}') from error
    test = experiment.splits.test
    if test is None or not (test.labels >= 0).any():
      raise InputError(
        f'{name}: there is no test set with labels to compare by; name one, as'
        ' in --set=data.test_holdout=0.1.'
      )
    shared = shared or _shared(experiment)
    own[name] = _own(experiment)
    train = experiment.splits.train
    data[name] = Data(
      len(train.class_names), train.fingerprint, test.fingerprint
    )
  return Setting(shared, own, data)


def check(configs: Mapping[str, ml_collections.ConfigDict]) -> None:
  """Checks lengths that were not known when the data was.

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


def _shared(experiment: Experiment) -> dict[str, Any]:
  train, test, config = experiment.splits.train, experiment.splits.test, experiment.config
  views = [f'{v.count} x {v.size} px' for v in config.views.values() if _is(v)]
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
    'test_images': len(test.ids) if test else 0,
    'classes': len(train.class_names),
    'network': network,
    'batch_size': config.batch_size,
    'views': ' + '.join(views),
    'knn_k': config.eval.headline_k,
    'devices': mesh_lib.describe(experiment.mesh),
  }


def _is(view: Any) -> bool:
  """Whether a field of `views` is a kind of view, and there are any."""
  return isinstance(view, ml_collections.ConfigDict) and view.count > 0


def _own(experiment: Experiment) -> dict[str, Any]:
  support = experiment.config.support
  asks = experiment.method.support
  return {
    'method': experiment.method.name,
    # Of a frozen encoder, others' images taught it.
    'labels_only': not (experiment.method.unlabelled or experiment.method.frozen),
    'support': support.to_dict() if asks else None,
  }
