"""Results of one run: figures, baselines and learning curve.

Read from the summary and the records of a finished run. Those of earlier calls
are read before any run, so that a directory of other settings is found first.
"""

from collections.abc import Mapping, Sequence
import json
import pathlib
from typing import Any

import ml_collections
import numpy as np

from semppl_jax.config import loading
from semppl_jax.config.loading import ConfigError
from semppl_jax.tools.comparison.experiments import Data
from semppl_jax.training import (
  checkpoint,
  experiment as experiment_lib,
  summary as summary_lib,
)
from semppl_jax.training.summary import Summary

Results = dict[str, Any]
Record = Mapping[str, float]

BASELINES = {'raw pixels': 'pixels', 'untrained encoder': 'untrained'}
_FEATURES = {'knn': 'encoder', 'projection': 'projection'}
_SUPPORTS = {'labelled': 'labelled', 'all': 'train'}
_CONFIG = 'config.json'
# Fields that may differ between a run of an earlier call and now.
_FREE = (
  *checkpoint.WORKING_FIELDS,
  'data.test_path',
  'eval.baselines',
  'eval.batch_size',
)


def read_finished(
  workdir: pathlib.Path, config: ml_collections.ConfigDict, data: Data
) -> Results | None:
  """Returns the results of a finished run of an earlier call, if there is one.

  Raises:
    ConfigError: the directory has a run of other settings or data, finished or
      not, or files that no run wrote.
  """
  file = workdir / _CONFIG
  if not file.exists():
    return None
  try:
    old = ml_collections.ConfigDict(json.loads(file.read_text()))
    new = experiment_lib.with_classes(config, data.classes)
    before, now = map(loading.to_flat_dict, (old, new))
    differing = checkpoint.differing_fields(before, now, _FREE)
    summary = summary_lib.read(workdir)
    results = None if summary is None else read(workdir, summary)
    if summary is not None:
      differing += _differing_data(summary, data)
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise ConfigError(
      f'{workdir} has files that are not as a run wrote them'
      f' ({type(error).__name__}: {error}); remove it to run it again.'
    ) from error
  if differing:
    raise ConfigError(
      f'{workdir} holds another run: {"; ".join(differing)}. Take the old'
      ' settings, or another --out.'
    )
  return results


def _differing_data(summary: Summary, data: Data) -> list[str]:
  return [
    f'the {title} images are others'
    for title, key, fingerprint in (
      ('train', 'data', data.train),
      ('test', 'test_data', data.test),
    )
    if summary[key] != fingerprint
  ]


def read(workdir: pathlib.Path, summary: Summary) -> Results:
  """Returns the results of a finished run, by its directory and summary.

  These are `figures`, `floors` (figures of each baseline, where the run has
  them), `curve` with an entry for each evaluation, and the `summary` without
  its directory.
  """
  records = _records(workdir / 'metrics.jsonl')
  batch_size = summary['images_seen'] // summary['steps']
  figures = {
    f'{name}_{support}': accuracy
    for name, kind in _FEATURES.items()
    for support, accuracy in _knn(summary, kind).items()
  }
  for name in ('probe', 'classifier'):
    figures[name] = summary['classifiers'].get(name)
  for name in ('images_per_second', 'input_wait', 'step_memory_gib'):
    figures[name] = summary.get(name)
  (figures['minutes'],) = minutes_at(records, batch_size, [summary['steps']])
  baselines = {
    title: {f'knn_{support}': x for support, x in _knn(summary, kind).items()}
    for title, kind in BASELINES.items()
  }
  return {
    'figures': figures,
    'floors': {
      title: each
      for title, each in baselines.items()
      if each['knn_labelled'] is not None
    },
    'curve': curve(records, batch_size),
    'summary': {x: v for x, v in summary.items() if x != 'workdir'},
  }


def _knn(summary: Summary, kind: str) -> dict[str, float | None]:
  """Accuracy on some features, by the images that vote."""
  knn, k = summary['knn'], summary['knn_k']
  return {
    support: knn.get(f'knn/{kind}/{name}/k{k}')
    for support, name in _SUPPORTS.items()
  }


def curve(records: Sequence[Record], batch_size: int) -> list[Results]:
  """Returns the evaluations of a run, with images seen and minutes."""
  scores = {
    int(record['step']): {k: v for k, v in record.items() if k != 'step'}
    for record in records
    if any(name.startswith('knn/') for name in record)
  }
  steps = sorted(scores)
  times = minutes_at(records, batch_size, steps)
  return [
    {
      'step': step,
      'images': step * batch_size,
      'minutes': minutes,
      'scores': scores[step],
    }
    for step, minutes in zip(steps, times, strict=True)
  ]


def minutes_at(
  records: Sequence[Record], batch_size: int, steps: Sequence[int]
) -> list[float | None]:
  """Returns the minutes of training up to some steps, None if none was timed.

  Evaluating, saving and compiling are left out, as are steps that a run took
  again after it was killed. Steps before the first reading of the clock, and
  after a restart those before its first, count at the mean pace.

  Args:
    records: records of a run.
    batch_size: images of a step.
    steps: ascending.
  """
  rates = {
    int(record['step']): record.get('images_per_second')
    for record in records
    if 'loss/total' in record
  }
  ends = sorted(rates)
  counts = np.diff([0, *ends]) * batch_size
  known = [
    (count, count / rate)
    for end, count in zip(ends, counts, strict=True)
    if (rate := rates[end])
  ]
  if not known:
    return [None] * len(steps)
  pace = sum(x[1] for x in known) / sum(x[0] for x in known)
  seconds = [
    count / rate if (rate := rates[end]) else count * pace
    for end, count in zip(ends, counts, strict=True)
  ]
  at = np.interp(steps, [0, *ends], np.cumsum([0, *seconds]))
  return [float(x) / 60 for x in at]


def _records(path: pathlib.Path) -> list[dict[str, float]]:
  # Only the first of several processes writes, perhaps to a disk of its own.
  if not path.exists():
    return []
  return [json.loads(line) for line in path.read_text().splitlines()]
