"""Directories of runs as they would be written, without running anything."""

import json
import pathlib

import numpy as np

from semppl_jax.config import loading

EVALUATED = 'knn/encoder/labelled/k20'


def write(
  path: pathlib.Path,
  *,
  classes: int = 3,
  names: list[str] | None = None,
  records: int = 40,
  rows: int = 24,
  evaluated: bool = True,
  truth: bool = True,
  finished: bool = False,
  method: str = 'semppl',
  seed: int = 0,
) -> pathlib.Path:
  """A run of 50 steps a record, whose pseudo-labels get better.

  Args:
    path: its directory.
    classes: number of classes.
    names: their names, by default `class_<n>`.
    records: how often it has recorded.
    rows: unlabelled rows of each record.
    evaluated: whether it has been evaluated.
    truth: whether unlabelled images have true labels.
    finished: whether it is at its end.
    method: its method.
    seed: of everything.
  """
  rng = np.random.default_rng(seed)
  path.mkdir(parents=True)
  config = loading.load('configs/quickstart.py')
  config.method, config.seed = method, seed
  (path / 'config.json').write_text(config.to_json_best_effort())
  facts = {
    'method': method,
    'batch_size': 64,
    'total_steps': 50 * records if finished else 100 * records,
    'train_images': 6000,
    'labelled_images': 10 * classes,
    'test_images': 2000,
    'class_names': names or [f'class_{n}' for n in range(classes)],
    'labelled_per_class': [10] * classes,
    'data': 'd' * 64,
    'data_name': 'embedded/train',
    'test_data': 't' * 64,
    'label_subset': 'l' * 64,
    'masks': None,
    'starts': [
      {
        'step': 0,
        'time': '2026-01-02T03:04:05Z',
        'devices': '1 x cpu',
        'versions': {'jax': '1.2.3'},
      }
    ],
  }
  (path / 'run.json').write_text(json.dumps(facts))
  lines, guesses = [], []
  for n in range(1, records + 1):
    step = 50 * n
    lines.append({
      'step': step, 'loss/total': 3 / n, 'norm/grads': 1.0, 'norm/updates': 0.1,
      'deviation/projection': 0.9, 'deviation/features': 0.5,
      'images_per_second': 900.0 + n, 'input_wait': 0.01,
    })  # fmt: skip
    if method == 'semppl':
      lines[-1] |= {'pseudo/coverage': 1.0, 'pseudo/agreement': 0.7}
      if truth:
        lines[-1]['pseudo/accuracy'] = 0.3 + 0.3 * n / records
      guesses.append(_guesses(rng, step, rows, classes, n / records, truth))
    if evaluated and n % 10 == 0:
      lines.append({'step': step, EVALUATED: 0.2 + 0.2 * n / records})
  _write_lines(path / 'metrics.jsonl', lines)
  _write_lines(path / 'pseudo_labels.jsonl', guesses)
  _write_lines(
    path / 'timing.jsonl',
    [
      {'step': 0, 'work': 'compile', 'seconds': 5.0},
      {'step': 500, 'work': 'training', 'seconds': 90.0},
      {'step': 500, 'work': 'evaluation', 'seconds': 4.0},
    ],
  )
  if finished:
    (path / 'summary.json').write_text(
      json.dumps({
        'steps': 50 * records,
        'knn': {
          'knn/pixels/labelled/k20': 0.1, 'knn/untrained/labelled/k20': 0.15,
        },
        'finished': '2026-01-02T04:04:05Z',
      })
    )  # fmt: skip
  return path


def _guesses(rng, step, rows, classes, right, truth):
  true = rng.integers(0, classes, rows)
  wrong = rng.random(rows) > right
  label = np.where(wrong, rng.integers(0, classes, rows), true)
  return {
    'step': step,
    'index': rng.integers(0, 6000, rows).tolist(),
    'label': label.tolist(),
    'true': (true if truth else np.full(rows, -1)).tolist(),
    'share': rng.random(rows).round(3).tolist(),
    'voters': [[[5, 3], [7, 1]]] * 4,
    'positives': [[5, 7]] * 4,
  }


def _write_lines(path, lines):
  path.write_text(''.join(json.dumps(line) + '\n' for line in lines))


def plain_fields() -> dict:
  """The fields of the config of these runs, by dotted name."""
  return loading.to_flat_dict(loading.load('configs/quickstart.py'))
