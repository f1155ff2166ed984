"""Fairness: fields that must be equal for methods to be compared.

Images and labels, the encoder, the views of an image, the batch and the
evaluation must be equal. How a method learns from them is its own: heads,
optimizer, and the number of labelled rows in a batch or beside it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from semppl_jax import methods
from semppl_jax.config import loading
from semppl_jax.config.loading import ConfigError
from semppl_jax.tools.comparison.experiments import Entry

_COMPARED = (
  'data.',
  'network.',
  'views.',
  'augment.',
  'saliency.',
  'eval.',
  'probe.',
  'batch_size',
  'accumulate',
  'init_from',
)
_OWN = (
  'data.labelled_per_batch',
  'network.projector.',
  'network.predictor.',
  'network.prototypes',
  'network.classifier.',
)
# Set by the comparison for every run.
_SET = ('seed', 'duration', 'data.labels_seed', 'eval.every', 'eval.baselines')
# Page and figure need equal values of these.
_NEVER = ('eval.headline_k', 'eval.k')
_ABSENT = 'absent'


class Difference(NamedTuple):
  """A field that differs between the configs.

  Attributes:
    field: its dotted name.
    values: its value, by the name of the config.
  """

  field: str
  values: dict[str, object]


def check(entries: Sequence[Entry], allow: Sequence[str]) -> list[Difference]:
  """Checks that the configs are comparable.

  Args:
    entries: the configs.
    allow: compared fields, and groups of fields, that may differ.

  Returns:
    The allowed differences of compared fields.

  Raises:
    ConfigError: another compared field differs, with a sentence for each; or
      `allow` has an unknown field.
  """
  _check_names(entries, allow)
  differing = [x for x in _differing(entries) if _is_compared(x.field)]
  wrong = [
    x for x in differing if x.field in _NEVER or not _within(x.field, allow)
  ]
  if wrong:
    names = ','.join(x.field for x in wrong if x.field not in _NEVER)
    either = f', or --allow={names}.' if names else '.'
    raise ConfigError(
      '\n'.join(
        [
          *(_sentence(x, entries) for x in wrong),
          f'Make them equal (--set=FIELD=VALUE sets all){either}',
        ]
      )
    )
  return differing


def own(entries: Sequence[Entry]) -> list[Difference]:
  """Returns the differences of other fields, without the methods' groups."""
  return [
    x
    for x in _differing(entries)
    if not _is_compared(x.field)
    and x.field not in (*_SET, 'method')
    # The report has those of each method with a support batch.
    and not x.field.startswith('support.')
  ]


def _differing(entries: Sequence[Entry]) -> list[Difference]:
  plain = {x.name: loading.to_flat_dict(x.config) for x in entries}
  fields = dict.fromkeys(f for config in plain.values() for f in config)
  differences = []
  for field in fields:
    values = {
      x.name: plain[x.name].get(field, _ABSENT)
      for x in entries
      if _concerns(field, x)
    }
    if any(value != next(iter(values.values())) for value in values.values()):
      differences.append(Difference(field, values))
  return differences


def _concerns(field: str, entry: Entry) -> bool:
  """Returns False for a field in the group of another method."""
  group = field.partition('.')[0]
  return group not in methods.NAMES or group == entry.config.method


def _is_compared(field: str) -> bool:
  return field.startswith(_COMPARED) and not field.startswith((*_OWN, *_SET))


def _within(field: str, names: Sequence[str]) -> bool:
  return any(field == x or field.startswith(f'{x}.') for x in names)


def _sentence(x: Difference, entries: Sequence[Entry]) -> str:
  files: dict[str, list[str]] = {}
  for entry in entries:
    if entry.name in x.values:
      files.setdefault(repr(x.values[entry.name]), []).append(entry.file)
  parts = [
    f'{value} in {" and ".join(names)}' for value, names in files.items()
  ]
  return f'config.{x.field} is {", and ".join(parts)}.'


def _check_names(entries: Sequence[Entry], allow: Sequence[str]) -> None:
  fields = [f for x in entries for f in loading.to_flat_dict(x.config)]
  for name in allow:
    if not any(_within(field, [name]) for field in fields):
      near = loading.nearest(name, fields)
      hint = f'; did you mean {near!r}?' if near else '.'
      raise ConfigError(f'--allow={name} is not a field of a config{hint}')
