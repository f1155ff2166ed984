"""What one run says of itself: its figures, its floors and its course.

Read from the summary and the records of a finished run.
"""

from collections.abc import Mapping, Sequence
import json
import pathlib
from typing import Any

import numpy as np

Figures = dict[str, float | None]

FLOORS = {'raw pixels': 'pixels', 'untrained encoder': 'untrained'}
_KINDS = {'knn': 'encoder', 'projection': 'projection'}
_SUPPORTS = {'labelled': 'labelled', 'all': 'train'}


def read(workdir: pathlib.Path, summary: Mapping[str, Any]) -> dict[str, Any]:
  """Returns what a comparison keeps of a finished run.

  Args:
    workdir: the run's directory.
    summary: its summary.

  Returns:
    `figures`, `floors` by name where the run has them, `curve` with an entry
    for each evaluation, and the `summary` without its directory.
  """
  lines = _lines(workdir / 'metrics.jsonl')
  batch_size = summary['images_seen'] // summary['steps']
  curve = course(lines, batch_size)
  knn, k = summary['knn'], summary['knn_k']
  figures: Figures = {
    f'{name}_{support}': knn.get(f'knn/{kind}/{of}/k{k}')
    for name, kind in _KINDS.items()
    for support, of in _SUPPORTS.items()
  }
  for name in ('probe', 'classifier'):
    figures[name] = summary['classifiers'].get(name)
  for name in ('images_per_second', 'input_wait', 'step_memory_gib'):
    figures[name] = summary.get(name)
  figures['minutes'] = minutes_at(lines, batch_size, [summary['steps']])[0]
  floors = {
    title: {
      f'knn_{support}': knn.get(f'knn/{kind}/{of}/k{k}')
      for support, of in _SUPPORTS.items()
    }
    for title, kind in FLOORS.items()
    if f'knn/{kind}/labelled/k{k}' in knn
  }
  return {
    'figures': figures,
    'floors': floors,
    'curve': curve,
    'summary': {x: v for x, v in summary.items() if x != 'workdir'},
  }


def course(
  lines: Sequence[Mapping[str, float]], batch_size: int
) -> list[dict[str, Any]]:
  """The evaluations of a run, with images seen and minutes of training."""
  scores = {
    int(line['step']): {name: x for name, x in line.items() if name != 'step'}
    for line in lines
    if any(name.startswith('knn/') for name in line)
  }
  steps = sorted(scores)
  times = minutes_at(lines, batch_size, steps)
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
  lines: Sequence[Mapping[str, float]], batch_size: int, steps: Sequence[int]
) -> list[float | None]:
  """Minutes of training alone up to some steps, None where none was timed.

  Evaluating, saving and compiling are left out, as are steps that a run took
  again after it was killed. The steps before the first reading of the clock,
  and after a restart those before its first, count at the mean pace.

  Args:
    lines: the records of a run.
    batch_size: images in a step.
    steps: ascending.
  """
  rates = {
    int(line['step']): line.get('images_per_second')
    for line in lines
    if 'loss/total' in line
  }
  ends = sorted(rates)
  counts = np.diff([0, *ends]) * batch_size
  timed = [
    (count, count / rate)
    for end, count in zip(ends, counts, strict=True)
    if (rate := rates[end])
  ]
  if not timed:
    return [None] * len(steps)
  pace = sum(x[1] for x in timed) / sum(x[0] for x in timed)
  seconds = [
    count / rate if (rate := rates[end]) else count * pace
    for end, count in zip(ends, counts, strict=True)
  ]
  at = np.interp(steps, [0, *ends], np.cumsum([0, *seconds]))
  return [float(x) / 60 for x in at]


def _lines(path: pathlib.Path) -> list[dict[str, float]]:
  # Only the first of several processes writes, perhaps to a disk of its own.
  if not path.exists():
    return []
  return [json.loads(line) for line in path.read_text().splitlines()]
