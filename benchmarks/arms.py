"""The settings that the benchmarks compare, as changes of the quick start."""

import ml_collections

from configs import quickstart

ARMS = {
  'SemPPL log_ratio': {},
  'SemPPL kl': {'semppl.invariance': 'kl'},
  'no semantic positives': {'semppl.semantic_positives': False},
  'oracle labels': {'semppl.pseudo_labels': 'oracle'},
  'supervised': {
    'method': 'supervised',
    'data.labelled_per_batch': 64,
    'views.large.count': 1,
  },
}


def config_of(arm: str, seed: int, duration: str) -> ml_collections.ConfigDict:
  """The quick start's config with an arm's changes and a seed."""
  c = quickstart.get_config()
  c.update_from_flattened_dict(ARMS[arm])
  c.seed = c.data.labels_seed = seed
  c.duration = c.eval.every = duration
  # The floors depend on the seed alone.
  c.eval.baselines = arm == next(iter(ARMS))
  return c
