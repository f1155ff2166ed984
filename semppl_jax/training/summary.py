"""The few lines at the end of a run, and the file that holds them."""

import json
import statistics
import time
from typing import Any

from etils import epath

from semppl_jax.runtime import (
  device_memory,
  files as files_lib,
  mesh as mesh_lib,
  versions,
)
from semppl_jax.training.experiment import Experiment
from semppl_jax.training.metric_writer import Logbook

FILE = 'summary.json'
_ROWS = (
  ('raw pixels', 'pixels'),
  ('untrained encoder', 'untrained'),
  ('trained encoder', 'encoder'),
  ('its projections', 'projection'),
)
_CLASSIFIERS = {
  'classifier': 'The classifier',
  'probe': 'A linear classifier of the features, trained beside,',
}


def read(workdir: epath.Path) -> dict[str, Any] | None:
  """Returns the summary of a finished run, or None."""
  path = workdir / FILE
  return json.loads(path.read_text()) if path.exists() else None


def make(
  experiment: Experiment,
  log: Logbook,
  floors: dict[str, float],
  workdir: epath.Path,
) -> dict[str, Any]:
  """Collects what a run learned, from its records and the floors.

  Pseudo-label figures are means over the last quarter of the records: of a
  tenth, a few batches, chance would be the larger part.
  """
  scores = {
    name: values[-1][1]
    for name, values in log.history.items()
    if name.startswith('knn/')
  }
  return {
    'method': experiment.method.name,
    'steps': experiment.total_steps,
    'images_seen': experiment.total_steps * experiment.config.batch_size,
    'train_images': len(experiment.splits.train.ids),
    'train_images_with_label': int((experiment.splits.train.labels >= 0).sum()),
    'labelled_images': len(experiment.subset.index),
    'test_images': len(experiment.splits.test.ids)
    if experiment.splits.test
    else 0,
    'classes': len(experiment.splits.train.class_names),
    'knn_k': experiment.config.eval.headline_k,
    'knn': floors | scores,
    'classifiers': {
      name: log.history[f'{name}/top1'][-1][1]
      for name in _CLASSIFIERS
      if f'{name}/top1' in log.history
    },
    'pseudo_label_accuracy': log.recent('pseudo/accuracy'),
    'pseudo_label_coverage': log.recent('pseudo/coverage'),
    'unreadable_images': int(
      max((n for _, n in log.history.get('data/unreadable', ())), default=0)
    ),
    **_pace(log),
    'step_memory_gib': log.recent(device_memory.STEP, 1.0),
    'device_peak_gib': device_memory.device_peak_gib(experiment.mesh),
    'devices': mesh_lib.describe(experiment.mesh),
    'label_subset': experiment.subset.hash,
    'data': experiment.splits.train.fingerprint,
    'test_data': experiment.splits.test.fingerprint
    if experiment.splits.test
    else None,
    'versions': versions.installed(),
    'finished': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()),
    'workdir': str(workdir),
  }


def _pace(log: Logbook) -> dict[str, float | None]:
  """Images per second and share of waiting, over all the time of training.

  Records are equally many images apart, not equally much time.
  """
  rates = [x for _, x in log.history.get('images_per_second', ())]
  waits = [x for _, x in log.history.get('input_wait', ())]
  if not rates:
    return {'images_per_second': None, 'input_wait': None}
  return {
    'images_per_second': statistics.harmonic_mean(rates),
    'input_wait': statistics.fmean(waits, [1 / x for x in rates]),
  }


def write(workdir: epath.Path, result: dict[str, Any]) -> None:
  """Writes the summary, whole or not at all."""
  text = json.dumps(result, indent=2) + '\n'
  files_lib.write_text(workdir / FILE, text)


def describe(result: dict[str, Any]) -> str:
  """The summary as a person reads it."""
  lines = []
  if result['knn']:
    lines += _table(result)
  elif not result['test_images']:
    lines.append('No test set was given: no k-NN accuracy.')
  for name, title in _CLASSIFIERS.items():
    if name in result['classifiers']:
      top1 = result['classifiers'][name]
      lines.append(f'{title} has {top1:.1%} of the test images right.')
  if result['pseudo_label_coverage'] is not None:
    lines.append(_pseudo_labels(result))
  lines.append(
    f'Files in {result["workdir"]}: {FILE}, metrics.jsonl, tensorboard/,'
    ' checkpoints/, config.json, labels.txt.'
  )
  return '\n'.join(lines)


def _table(result: dict[str, Any]) -> list[str]:
  k = result['knn_k']
  chance = 1 / max(result['classes'], 1)
  labelled = f'{result["labelled_images"]:,} labelled'
  whole = f'all {result["train_images_with_label"]:,}'
  lines = [
    f'k-NN top-1 on {result["test_images"]:,} test images, k = {k}'
    f' (chance {chance:.0%}):',
    f'{"neighbours among":>20}  {labelled:>14}  {whole:>14}',
  ]
  for title, kind in _ROWS:
    values = [
      result['knn'].get(f'knn/{kind}/{support}/k{k}')
      for support in ('labelled', 'train')
    ]
    if values[0] is not None:
      cells = ['-' if v is None else f'{v:.1%}' for v in values]
      lines.append(f'{title:>20}  {cells[0]:>14}  {cells[1]:>14}')
  return lines


def _pseudo_labels(result: dict[str, Any]) -> str:
  accuracy = result['pseudo_label_accuracy']
  right = (
    'right or wrong is not known, as no unlabelled image has a label'
    if accuracy is None
    else f'{accuracy:.1%} right'
  )
  return (
    f'Pseudo-labels: {right};'
    f' {result["pseudo_label_coverage"]:.0%} of the unlabelled rows have one.'
  )
