"""Compares variants of SemPPL on the embedded images, in minutes.

  python benchmarks/learns.py --out=runs/learns

Runs the quick start's setting with each invariance form, without semantic
positives, with oracle labels, and a supervised network on the same labels:
equal steps, several seeds (network, order, crops and labelled images change
with the seed). The supervised network has no projections. Finished runs are not
repeated, and a stopped one is resumed.
Writes `table.json` and prints the table of the README.
"""

import json
import pathlib

from absl import app, flags
from tables import spread
from variants import make_config, VARIANTS

from semppl_jax.runtime.tables import markdown
from semppl_jax.training import loop

_OUT = flags.DEFINE_string('out', 'runs/learns', 'Directory of the runs.')
_SEEDS = flags.DEFINE_integer('seeds', 3, 'Seeds 0, 1, ... of each variant.')
_DURATION = flags.DEFINE_string('duration', '4000 steps', 'Length of a run.')
_VARIANTS = flags.DEFINE_list('arms', [], 'Only these variants.')

_COLUMNS = {
  'encoder, 600': 'knn/encoder/labelled',
  'encoder, 6,000': 'knn/encoder/train',
  'projections, 600': 'knn/projection/labelled',
  'projections, 6,000': 'knn/projection/train',
}
_BASELINES = {'raw pixels': 'pixels', 'untrained encoder': 'untrained'}


def main(_) -> None:
  """Makes the missing runs, seed by seed."""
  out = pathlib.Path(_OUT.value)
  results = {}
  for seed in range(_SEEDS.value):
    for variant in _VARIANTS.value or VARIANTS:
      name = variant.replace(' ', '-')
      config = make_config(variant, seed, _DURATION.value)
      summary = loop.run(config, out / f'{name}-{seed}')
      if summary is None:
        return
      results.setdefault(variant, []).append(summary)
      (out / 'table.json').write_text(json.dumps(results, indent=2) + '\n')
      print(table(results), flush=True)


def table(results: dict[str, list[dict]]) -> str:
  """Returns a table of means and, over several seeds, standard deviations."""
  first = next(iter(results.values()))
  rows = [['', *_COLUMNS, 'pseudo-labels right']]
  for title, kind in _BASELINES.items():
    keys = [
      c.replace('/encoder/', f'/{kind}/') if '/encoder/' in c else ''
      for c in _COLUMNS.values()
    ]
    rows.append([title, *(_cell(first, key) for key in keys), ''])
  for variant, summaries in results.items():
    cells = [_cell(summaries, key) for key in _COLUMNS.values()]
    right = [s['pseudo_label_accuracy'] for s in summaries]
    rows.append([variant, *cells, spread(right)])
  return markdown(rows)


def _cell(summaries: list[dict], column: str) -> str:
  key = f'{column}/k{summaries[0]["knn_k"]}'
  return spread([s['knn'].get(key) for s in summaries])


if __name__ == '__main__':
  app.run(main)
