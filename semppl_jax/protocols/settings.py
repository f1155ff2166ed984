"""Every impossible value of an evaluation's config, before any work."""

from collections.abc import Iterator

import ml_collections

from semppl_jax.config import constraints, durations
from semppl_jax.config.constraints import (
  COUNT,
  FRACTION,
  NON_NEGATIVE,
  POSITIVE,
  Range,
  SEED,
)
from semppl_jax.models.network import CLASSIFIER_INPUTS
from semppl_jax.models.weights import Weights
from semppl_jax.optim import optimizers

RECIPES = ('linear', 'finetune', 'suncet', 'baseline')
_OPEN_SHARE = Range(0, 1, open_low=True, open_high=True)

_TABLES = constraints.Constraints(
  ranges={
    'seed': SEED,
    'batch_size': COUNT,
    'held_out': _OPEN_SHARE,
    'images.resize': NON_NEGATIVE,
    'images.crop': NON_NEGATIVE,
    'knn.temperature': POSITIVE,
    'soft_nn.temperature': POSITIVE,
    'suncet.final_learning_rate': NON_NEGATIVE,
    'suncet.temperature': POSITIVE,
    'suncet.views': COUNT,
    'robustness.images': NON_NEGATIVE,
    **{f'{recipe}.batch_size': Range(2) for recipe in RECIPES},
    **{f'{recipe}.reference_batch': NON_NEGATIVE for recipe in RECIPES},
    **{f'{recipe}.momentum': Range(0, 1, open_high=True) for recipe in RECIPES},
  },
  tuples={
    'knn.k': (COUNT, None),
    'linear.regularisers': (POSITIVE, None),
    'transfer.regularisers': (POSITIVE, None),
    **{f'{recipe}.learning_rates': (POSITIVE, None) for recipe in RECIPES},
    **{f'{recipe}.weight_decays': (NON_NEGATIVE, None) for recipe in RECIPES},
    **{
      f'{recipe}.area': (FRACTION._replace(open_low=True), 2) for recipe in RECIPES
    },
  },
  intervals=tuple(f'{recipe}.area' for recipe in RECIPES),
  choices={
    'images.interpolation': ('', 'bicubic', 'bilinear'),
    'soft_nn.embedding': ('encoder', 'projection', 'prediction'),
    'linear.labels': ('labelled', 'train'),
    **{f'{recipe}.optimizer': optimizers.NAMES for recipe in RECIPES},
    **{f'{recipe}.classify': CLASSIFIER_INPUTS for recipe in RECIPES},
  },
)
_SUPPORTS = ('labelled', 'train')


def problems(config: ml_collections.ConfigDict) -> list[str]:
  """Returns a sentence for each field that is not allowed."""
  return [
    *constraints.violations(config, _TABLES),
    *_durations(config),
    *_supports(config),
  ]


def misfits(
  config: ml_collections.ConfigDict, weights: Weights
) -> Iterator[str]:
  """Yields a sentence for each field that the weights do not allow."""
  for recipe in ('linear', 'finetune'):
    hidden = config[recipe].classify == 'projector_hidden'
    if hidden and 'projector' not in weights.heads:
      field = f'{recipe}.classify'
      yield constraints.must(
        config, field, f"be 'features', as {weights.origin} has no projector"
      )
  resize = config.images.resize or weights.preprocessing.resize
  crop = config.images.crop or weights.preprocessing.crop
  if crop > resize:
    yield (
      f'config.images.crop={config.images.crop} and resize='
      f'{config.images.resize} must leave a crop ({crop}) of at most the short'
      f' side ({resize}).'
    )


def _durations(config: ml_collections.ConfigDict) -> Iterator[str]:
  for recipe in RECIPES:
    for name in ('duration', 'warmup'):
      field = f'{recipe}.{name}'
      try:
        length = durations.steps(constraints.get(config, field), 1, 1)
      except ValueError as error:
        yield f'config.{field}={constraints.get(config, field)!r}: {error}'
        continue
      if name == 'duration' and not length:
        yield constraints.must(config, field, 'be longer than 0')


def _supports(config: ml_collections.ConfigDict) -> Iterator[str]:
  names = config.knn.support
  if not names or set(names) - set(_SUPPORTS):
    yield constraints.must(
      config, 'knn.support', f'be one or both of {", ".join(_SUPPORTS)}'
    )
