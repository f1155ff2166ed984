"""Compares fine-tuned SemPPL with training on the labels alone.

  python benchmarks/finetunes.py --runs=runs/learns --out=runs/finetunes

For each seed: the quick start's SemPPL (that of `benchmarks/learns.py` where it
is there, else trained), fine-tuned on its 600 labels, beside the same network
trained on the same labels from scratch, for as many steps as SemPPL; and k-NN
on the features of both, SemPPL's before fine-tuning. Settings are those of
`configs/evaluate/quickstart.py`, in which both have the quick start's rate.
A stopped run is resumed. Prints the table of docs/evaluate.md.
"""

import pathlib

from absl import app, flags
from tables import spread
from variants import make_config

from semppl_jax.config import loading
from semppl_jax.protocols import runner, setup
from semppl_jax.runtime.tables import markdown
from semppl_jax.training import loop, summary

_RUNS = flags.DEFINE_string('runs', 'runs/learns', 'Runs of learns.py.')
_OUT = flags.DEFINE_string('out', 'runs/finetunes', 'Where results go.')
_SEEDS = flags.DEFINE_list('seeds', ['0', '1', '2'], 'Seeds.')

_VARIANT = 'SemPPL log_ratio'
_COLUMNS = {
  'classifier': ('finetune', 'finetune/top1'),
  'k-NN, 600': ('knn', 'knn/labelled/k20/top1'),
  'k-NN, 6,000': ('knn', 'knn/train/k20/top1'),
}
_ROWS = {'SemPPL': 'figures', 'labels only': 'baseline'}


def main(_) -> None:
  """Makes the missing runs and prints the table of the seeds so far."""
  results = []
  for seed in map(int, _SEEDS.value):
    run = pathlib.Path(_RUNS.value) / f'{_VARIANT.replace(" ", "-")}-{seed}'
    if summary.read(run) is None:
      loop.run(make_config(_VARIANT, seed, '4000 steps'), run)
    config = loading.load('configs/evaluate/quickstart.py', [f'seed={seed}'])
    workdir = pathlib.Path(_OUT.value) / str(seed)
    context = setup.build(config, str(run), workdir)
    for protocol in ('knn', 'finetune'):
      result = runner.run(context, protocol, True)
    results.append(result.content['protocols'])
    print(table(results), flush=True)


def table(results: list[dict]) -> str:
  """Returns a table of means and, over several seeds, standard deviations."""
  rows = [['', *_COLUMNS]]
  for title, key in _ROWS.items():
    cells = [
      spread([each[protocol][key][name] for each in results])
      for protocol, name in _COLUMNS.values()
    ]
    rows.append([title, *cells])
  return markdown(rows)


if __name__ == '__main__':
  app.run(main)
