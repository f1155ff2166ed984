"""Summary of a run, and the files `run.json` and `summary.json`.

`run.json` says what a run is. It is written at every start, before the first
step, so that it is there whatever becomes of the run. `summary.json` holds what
the run learned, and is printed at its end.
"""

from collections.abc import Sequence
import json
import statistics
import time
from typing import Any

from etils import epath
import numpy as np

from semppl_jax.runtime import (
  device_memory,
  files as files_lib,
  mesh as mesh_lib,
  tables,
  versions,
)
from semppl_jax.training.experiment import Experiment
from semppl_jax.training.metric_writer import MetricWriter

FILE, RUN_FILE = 'summary.json', 'run.json'
_TIME = '%Y-%m-%dT%H:%M:%SZ'
Summary = dict[str, Any]
_ROWS = (
  ('raw pixels', 'pixels'),
  ('untrained encoder', 'untrained'),
  ('trained encoder', 'encoder'),
  ('its projections', 'projection'),
)
_CLASSIFIERS = {'classifier': 'Classifier', 'probe': 'Online linear probe'}


def read(workdir: epath.Path) -> Summary | None:
  """Returns the summary of a finished run, or None."""
  path = workdir / FILE
  return json.loads(path.read_text()) if path.exists() else None


def make(
  experiment: Experiment,
  writer: MetricWriter,
  baselines: dict[str, float],
  workdir: epath.Path,
) -> Summary:
  """Collects what a run learned, from its records and the baselines.

  Pseudo-label figures are means over the last quarter of the records: a tenth
  is only a few batches, mostly chance.
  """
  train, test = experiment.splits.train, experiment.splits.test
  scores = {
    name: values[-1][1]
    for name, values in writer.history.items()
    if name.startswith('knn/')
  }
  return {
    'method': experiment.method.name,
    'steps': experiment.total_steps,
    'images_seen': experiment.total_steps * experiment.config.batch_size,
    'train_images': len(train.ids),
    'train_images_with_label': int((train.labels >= 0).sum()),
    'labelled_images': len(experiment.subset.index),
    'test_images': len(test.ids) if test else 0,
    'classes': len(train.class_names),
    'knn_k': experiment.config.eval.headline_k,
    'knn': baselines | scores,
    'classifiers': {
      name: writer.history[f'{name}/top1'][-1][1]
      for name in _CLASSIFIERS
      if f'{name}/top1' in writer.history
    },
    'pseudo_label_accuracy': writer.recent('pseudo/accuracy'),
    'pseudo_label_coverage': writer.recent('pseudo/coverage'),
    'unreadable_images': int(
      max((n for _, n in writer.history.get('data/unreadable', ())), default=0)
    ),
    **_pace(writer),
    'step_memory_gib': writer.recent(device_memory.STEP, 1.0),
    'device_peak_gib': device_memory.device_peak_gib(experiment.mesh),
    'devices': mesh_lib.describe(experiment.mesh),
    'label_subset': experiment.subset.hash,
    'data': train.fingerprint,
    'test_data': test.fingerprint if test else None,
    'versions': versions.installed(),
    'finished': time.strftime(_TIME, time.gmtime()),
    'workdir': str(workdir),
  }


def _pace(writer: MetricWriter) -> dict[str, float | None]:
  """Images per second and share of waiting, over the whole training time.

  Records are equal numbers of images apart, not equal times.
  """
  rates = [x for _, x in writer.history.get('images_per_second', ())]
  waits = [x for _, x in writer.history.get('input_wait', ())]
  if not rates:
    return {'images_per_second': None, 'input_wait': None}
  return {
    'images_per_second': statistics.harmonic_mean(rates),
    'input_wait': statistics.fmean(waits, [1 / x for x in rates]),
  }


def write(workdir: epath.Path, result: Summary) -> None:
  """Writes the summary atomically."""
  text = json.dumps(result, indent=2) + '\n'
  files_lib.write_text(workdir / FILE, text)


def describe(result: Summary) -> str:
  """Returns the summary as text."""
  lines = []
  if result['knn']:
    lines += _table(result)
  elif not result['test_images']:
    lines.append('No test set was given: no k-NN accuracy.')
  for name, title in _CLASSIFIERS.items():
    if name in result['classifiers']:
      top1 = result['classifiers'][name]
      lines.append(f'{title}: accuracy {top1:.1%} on the test images.')
  if result['pseudo_label_coverage'] is not None:
    lines.append(_pseudo_labels(result))
  lines.append(
    f'Files in {result["workdir"]}: {FILE}, metrics.jsonl, tensorboard/,'
    ' checkpoints/, config.json, labels.txt.'
  )
  return '\n'.join(lines)


def _table(result: Summary) -> list[str]:
  k = result['knn_k']
  chance = 1 / max(result['classes'], 1)
  labelled = f'{result["labelled_images"]:,} labelled'
  whole = f'all {result["train_images_with_label"]:,}'
  title = (
    f'k-NN top-1 on {result["test_images"]:,} test images, k = {k}'
    f' (chance {chance:.0%}):'
  )
  rows: list[Sequence[str]] = [('neighbours among', labelled, whole)]
  for name, kind in _ROWS:
    values = [
      result['knn'].get(f'knn/{kind}/{support}/k{k}')
      for support in ('labelled', 'train')
    ]
    if values[0] is not None:
      rows.append((name, *('-' if v is None else f'{v:.1%}' for v in values)))
  return [title, tables.fixed_width(rows, ('>20', '>14', '>14'), '  ')]


def _pseudo_labels(result: Summary) -> str:
  accuracy = result['pseudo_label_accuracy']
  known = (
    'accuracy unknown, as no unlabelled image has a true label'
    if accuracy is None
    else f'accuracy {accuracy:.1%}'
  )
  return (
    f'Pseudo-labels: {known};'
    f' coverage {result["pseudo_label_coverage"]:.0%} of the unlabelled images.'
  )


def write_run(workdir: epath.Path, experiment: Experiment, step: int) -> None:
  """Writes `run.json` of a run that starts or continues from `step`."""
  train, test = experiment.splits.train, experiment.splits.test
  classes = len(train.class_names)
  labels = train.labels[experiment.subset.index]
  content = {
    'method': experiment.method.name,
    'batch_size': experiment.config.batch_size,
    'total_steps': experiment.total_steps,
    'train_images': train.size,
    'labelled_images': len(experiment.subset.index),
    'test_images': test.size if test else 0,
    'class_names': list(train.class_names),
    'labelled_per_class': np.bincount(labels, minlength=classes).tolist(),
    'data': train.fingerprint,
    'data_name': train.name,
    'test_data': test.fingerprint if test else None,
    'label_subset': experiment.subset.hash,
    'masks': train.masks.checksum if train.masks else None,
    'starts': [
      *_earlier_starts(workdir, step),
      {
        'step': step,
        'time': time.strftime(_TIME, time.gmtime()),
        'devices': mesh_lib.describe(experiment.mesh),
        'versions': versions.installed(),
      },
    ],
  }
  files_lib.write_text(workdir / RUN_FILE, json.dumps(content, indent=2) + '\n')


def _earlier_starts(workdir: epath.Path, step: int) -> list[object]:
  """Returns earlier starts; none of a run from 0, or if the file is damaged."""
  try:
    path = workdir / RUN_FILE
    return json.loads(path.read_text())['starts'] if step else []
  except (OSError, ValueError, KeyError, TypeError):
    return []
