"""What earlier calls left in the directory of a run.

Read before anything is run: a directory of other settings is found before the
work of an hour, and what was known stays known whatever happens next.
"""

import json
import pathlib
from typing import Any

import ml_collections

from semppl_jax.config.loading import ConfigError
from semppl_jax.tools.comparison import results
from semppl_jax.tools.comparison.setting import Data
from semppl_jax.training import (
  checkpoint,
  experiment as experiment_lib,
  summary as summary_lib,
)

CONFIG = 'config.json'
_FREE = (
  *checkpoint.WORKING_FIELDS,
  'data.test_path',
  'eval.baselines',
  'eval.batch_size',
)


def read(
  workdir: pathlib.Path, config: ml_collections.ConfigDict, data: Data
) -> dict[str, Any] | None:
  """Returns the finished run of a directory, or None where there is none.

  Args:
    workdir: the directory.
    config: of the run that belongs there.
    data: what it trains on.

  Raises:
    ConfigError: the directory has a run of other settings or data, finished or
      not, or files that no run wrote.
  """
  if not (workdir / CONFIG).exists():
    return None
  try:
    differ = _differing(
      _config(workdir), experiment_lib.with_classes(config, data.classes)
    )
    summary = summary_lib.read(workdir)
    found = None if summary is None else results.read(workdir, summary)
    if found:
      differ += _other_data(found['summary'], data)
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise ConfigError(
      f'{workdir} has files that are not as a run wrote them'
      f' ({type(error).__name__}: {error}); remove it to run it again.'
    ) from error
  if differ:
    raise ConfigError(
      f'{workdir} holds another run: {"; ".join(differ)}. Take the old'
      ' settings, or another --out.'
    )
  return found


def _config(workdir: pathlib.Path) -> ml_collections.ConfigDict:
  return ml_collections.ConfigDict(json.loads((workdir / CONFIG).read_text()))


def _differing(
  old: ml_collections.ConfigDict, new: ml_collections.ConfigDict
) -> list[str]:
  before, now = map(checkpoint.plain_config, (old, new))
  return checkpoint.differing_fields(before, now, _FREE)


def _other_data(summary: dict[str, Any], data: Data) -> list[str]:
  return [
    f'the {title} images are others'
    for title, name, now in (
      ('train', 'data', data.train),
      ('test', 'test_data', data.test),
    )
    if summary[name] != now
  ]
