"""Constraints on single fields of a config, and the error sentences."""

from collections.abc import Iterator, Mapping, Sequence
import functools
import math
import operator
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from semppl_jax.config.loading import nearest


class Range(NamedTuple):
  """Interval of numbers; an open end is not in it."""

  low: float
  high: float = math.inf
  open_low: bool = False
  open_high: bool = False

  def __contains__(self, value: object) -> bool:
    if not isinstance(value, (int, float)) or not math.isfinite(value):
      return False
    above = value > self.low if self.open_low else value >= self.low
    below = value < self.high if self.open_high else value <= self.high
    return above and below

  def __str__(self) -> str:
    low = f'{"above" if self.open_low else "at least"} {self.low:g}'
    if self.high == math.inf:
      return low
    return f'{low} and {"below" if self.open_high else "at most"} {self.high:g}'


COUNT = Range(1)
NON_NEGATIVE = Range(0)
POSITIVE = Range(0, open_low=True)
FRACTION = Range(0, 1)
SEED = Range(0, 2**32, open_high=True)


class RunDims(NamedTuple):
  """Counts that a config must fit; None where one is unknown.

  Attributes:
    device_count: devices of all processes.
    process_count: processes of the run.
    examples: train images.
    classes: C.
    labelled: train images that keep their label.
  """

  device_count: int
  process_count: int
  examples: int | None
  classes: int | None
  labelled: int | None


class Constraints(NamedTuple):
  """Allowed values of single fields, by dotted name.

  Attributes:
    ranges: ranges of numbers.
    tuples: range of the entries and their number (None: any but 0).
    intervals: tuples that are a lower and an upper end.
    choices: values of a field that is a name.
  """

  ranges: Mapping[str, Range] = {}
  tuples: Mapping[str, tuple[Range, int | None]] = {}
  intervals: Sequence[str] = ()
  choices: Mapping[str, Sequence[str]] = {}


def violations(config: ConfigDict, constraints: Constraints) -> Iterator[str]:
  """Yields a sentence for each field that violates a constraint."""
  for field, allowed in constraints.ranges.items():
    if get(config, field) not in allowed:
      yield must(config, field, f'be {allowed}')
  for field, (allowed, size) in constraints.tuples.items():
    value = get(config, field)
    wrong_size = len(value) != size if size else not value
    if wrong_size or not all(x in allowed for x in value):
      number = f'{size} numbers' if size else 'one or more numbers'
      yield must(config, field, f'be {number}, each {allowed}')
    elif field in constraints.intervals and value[0] > value[1]:
      yield must(config, field, 'be a lower and an upper end, in this order')
  for field, names in constraints.choices.items():
    value = get(config, field)
    if value not in names:
      near = nearest(str(value), names)
      end = f'; did you mean {near!r}?' if near else '.'
      yield must(config, field, f'be one of {", ".join(map(repr, names))}', end)


def must(config: ConfigDict, field: str, rule: str, end: str = '.') -> str:
  """Returns the sentence that a field violates a rule."""
  return f'config.{field}={get(config, field)!r} must {rule}{end}'


def get(config: ConfigDict, field: str) -> Any:
  """Returns the value of a field by its dotted name."""
  return functools.reduce(operator.getitem, field.split('.'), config)
