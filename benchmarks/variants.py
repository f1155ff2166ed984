"""Variants of the quick start that the benchmarks compare."""

import ml_collections

from configs import quickstart

VARIANTS = {
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


def make_config(
  variant: str, seed: int, duration: str
) -> ml_collections.ConfigDict:
  """Returns the quick start's config with the changes of a variant."""
  c = quickstart.get_config()
  c.update_from_flattened_dict(VARIANTS[variant])
  c.seed = c.data.labels_seed = seed
  c.duration = c.eval.every = duration
  # Baselines depend on the seed alone.
  c.eval.baselines = variant == next(iter(VARIANTS))
  return c
