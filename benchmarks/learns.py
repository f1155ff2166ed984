"""Does SemPPL learn, and what of it does? On the embedded images, in minutes.

  python benchmarks/learns.py --out=runs/learns

Runs the quick start's setting with each invariance form, without semantic
positives, with oracle labels, and a supervised network on the same labels:
equal steps, several seeds (network, order, crops and labelled images change
with the seed). The projections of the supervised network are its logits. A run
that is there is not run again, and one that was stopped goes on.
Writes `table.json` and prints the table of the README.
"""

import json
import pathlib
import statistics

from absl import app, flags
import ml_collections

from configs import quickstart
from semppl_jax import train

_OUT = flags.DEFINE_string('out', 'runs/learns', 'Directory of the runs.')
_SEEDS = flags.DEFINE_integer('seeds', 3, 'Seeds 0, 1, ... of each arm.')
_DURATION = flags.DEFINE_string('duration', '4000 steps', 'Length of a run.')
_ARMS = flags.DEFINE_list('arms', [], 'Only these arms.')

ARMS = {
  'SemPPL log_ratio': {},
  'SemPPL kl': {'semppl.invariance': 'kl'},
  'no semantic positives': {'semppl.semantic_positives': False},
  'oracle labels': {'semppl.pseudo_labels': 'oracle'},
  'supervised': {
    'method': 'supervised',
    'data.labelled_per_batch': 64,
    'views.large.count': 1,
    'network.projector.output': 10,
  },
}
_COLUMNS = {
  'encoder, 600': 'knn/encoder/labelled',
  'encoder, 6,000': 'knn/encoder/train',
  'projections, 600': 'knn/projection/labelled',
  'projections, 6,000': 'knn/projection/train',
}
_FLOORS = {'raw pixels': 'pixels', 'untrained encoder': 'untrained'}


def config_of(arm: str, seed: int, duration: str) -> ml_collections.ConfigDict:
  """The quick start's config with an arm's changes and a seed."""
  c = quickstart.get_config()
  c.update_from_flattened_dict(ARMS[arm])
  c.seed = c.data.labels_seed = seed
  c.duration = c.eval.every = duration
  # The floors depend on the seed alone.
  c.eval.baselines = arm == next(iter(ARMS))
  return c


def main(_) -> None:
  """Runs what is missing, one seed of every arm after the other."""
  out = pathlib.Path(_OUT.value)
  results = {}
  for seed in range(_SEEDS.value):
    for arm in _ARMS.value or ARMS:
      name = arm.replace(' ', '-')
      config = config_of(arm, seed, _DURATION.value)
      summary = train.run(config, out / f'{name}-{seed}')
      if summary is None:
        return
      results.setdefault(arm, []).append(summary)
      (out / 'table.json').write_text(json.dumps(results, indent=2) + '\n')
      print(table(results), flush=True)


def table(results: dict[str, list[dict]]) -> str:
  """A Markdown table: mean and, over several seeds, standard deviation."""
  first = next(iter(results.values()))
  rows = [['', *_COLUMNS, 'pseudo-labels right']]
  rows.append(['---'] * len(rows[0]))
  for title, kind in _FLOORS.items():
    keys = [
      c.replace('/encoder/', f'/{kind}/') if '/encoder/' in c else ''
      for c in _COLUMNS.values()
    ]
    rows.append([title, *(_cell(first, key) for key in keys), ''])
  for arm, summaries in results.items():
    cells = [_cell(summaries, key) for key in _COLUMNS.values()]
    right = [s['pseudo_label_accuracy'] for s in summaries]
    rows.append([arm, *cells, _spread(right)])
  return '\n'.join(f'| {" | ".join(row)} |' for row in rows)


def _cell(summaries: list[dict], column: str) -> str:
  key = f'{column}/k{summaries[0]["knn_k"]}'
  return _spread([s['knn'].get(key) for s in summaries])


def _spread(values: list[float | None]) -> str:
  known = [100 * v for v in values if v is not None]
  if not known:
    return ''
  mean = f'{statistics.mean(known):.1f}'
  if len(known) == 1:
    return mean
  return f'{mean} ± {statistics.stdev(known):.1f}'


if __name__ == '__main__':
  app.run(main)
