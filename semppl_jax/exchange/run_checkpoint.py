"""Reader of the network of a training run, from one of its checkpoints."""

from collections.abc import Mapping
import pathlib
from typing import Any

import ml_collections
import orbax.checkpoint as ocp

from semppl_jax.config import loading
from semppl_jax.exchange import weights_dir
from semppl_jax.models.weights import Preprocessing, Weights, WeightsError
from semppl_jax.runtime.errors import first_line

_CHECKPOINTS = 'checkpoints'


def is_run(path: pathlib.Path) -> bool:
  """Returns True for the directory of a run or of one of its checkpoints."""
  return (path / _CHECKPOINTS).is_dir() or (path / 'state').is_dir()


def read(path: pathlib.Path) -> Weights:
  """Reads the online network of a run.

  Args:
    path: the run's directory (its newest checkpoint), or
      `RUN/checkpoints/STEP`.

  Raises:
    WeightsError: no complete checkpoint is found.
  """
  checkpoint = _newest(path) if (path / _CHECKPOINTS).is_dir() else path
  try:
    identity = _json(checkpoint / 'identity')
    state = weights_dir.host_arrays(
      (checkpoint / 'state').absolute(), ('params', 'net_state')
    )
  except (OSError, ValueError, KeyError) as error:
    raise WeightsError(
      f'{checkpoint} is not a complete checkpoint: {first_line(error)}.'
    ) from error
  config = run_config(identity['config'])
  names = tuple(identity.get('class_names') or ())
  config.network.classifier.classes = len(names)
  return Weights(
    network=config.network,
    params=state['params'],
    net_state=state['net_state'],
    preprocessing=_preprocessing(config),
    class_names=names,
    origin=f'step {checkpoint.name} of {checkpoint.parent.parent}',
    config=config.lock(),
  )


def run_config(flat: Mapping[str, object]) -> ml_collections.ConfigDict:
  """Returns the config of a run from its fields by dotted names.

  For older runs, new fields have the values of `configs/base.py`, and fields
  that no longer exist are left out.
  """
  config = loading.base()
  known = loading.to_flat_dict(config)
  values = {
    name: tuple(value) if isinstance(value, list) else value
    for name, value in flat.items()
    if name in known
  }
  config = config.unlock()
  config.update_from_flattened_dict(values)
  return config


def _preprocessing(config: ml_collections.ConfigDict) -> Preprocessing:
  return Preprocessing(
    resize=config.eval.resize,
    crop=config.eval.crop,
    interpolation=config.views.interpolation,
    mean=tuple(config.augment.mean),
    std=tuple(config.augment.std),
  )


def _newest(run: pathlib.Path) -> pathlib.Path:
  steps = [
    each
    for each in (run / _CHECKPOINTS).iterdir()
    if each.name.isdigit() and (each / 'state').is_dir()
  ]
  if not steps:
    raise WeightsError(f'{run} has no checkpoint yet.')
  return max(steps, key=lambda each: int(each.name))


def _json(path: pathlib.Path) -> Any:
  reader = ocp.Checkpointer(ocp.JsonCheckpointHandler())
  try:
    return reader.restore(path.absolute())
  finally:
    reader.close()
