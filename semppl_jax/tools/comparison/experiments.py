"""The configs that are compared, and the config of each of their runs."""

from collections.abc import Sequence
import pathlib
from typing import NamedTuple

import ml_collections

from semppl_jax.config import loading
from semppl_jax.config.loading import ConfigError


class Entry(NamedTuple):
  """One config of a comparison.

  Attributes:
    name: stem of the file; no two are the same.
    file: the file, as it was given.
    config: what it says, with the overrides of the comparison.
  """

  name: str
  file: str
  config: ml_collections.ConfigDict


def load(files: Sequence[str], overrides: Sequence[str] = ()) -> list[Entry]:
  """Reads the config files.

  Args:
    files: at least one.
    overrides: `'field=value'`, for all of them.

  Raises:
    ConfigError: a file or a field is not there, or two files share a name.
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


def config_of(
  entry: Entry, seed: int, steps: int, every: int, floors: bool
) -> ml_collections.ConfigDict:
  """The config of one run.

  Args:
    entry: the config.
    seed: of the network, the order and the crops; and of the labelled images,
      so that a seed gives every method the same ones.
    steps: length.
    every: steps between evaluations.
    floors: whether to evaluate raw pixels and the untrained encoder too.
  """
  config = loading.copy(entry.config)
  config.seed = config.data.labels_seed = seed
  config.duration = f'{steps} steps'
  config.eval.every = f'{every} steps'
  config.eval.baselines = floors
  return config.lock()
