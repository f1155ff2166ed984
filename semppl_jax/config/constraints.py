"""What single fields of a config may be, in tables, and the sentences."""

from collections.abc import Iterator, Mapping, Sequence
import math
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from semppl_jax.config.loading import nearest


class Range(NamedTuple):
  """Numbers from `low` to `high`; without the ends where they are open."""

  low: float
  high: float = math.inf
  open_low: bool = False
  open_high: bool = False

  def holds(self, value: Any) -> bool:
    """Says whether `value` is a number in the range."""
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
NATURAL = Range(0)
POSITIVE = Range(0, open_low=True)
SHARE = Range(0, 1)
SEED = Range(0, 2**32, open_high=True)


class Tables(NamedTuple):
  """What single fields may be, by dotted name.

  Attributes:
    ranges: of numbers.
    tuples: range of each entry, and how many there are (None: any but 0).
    intervals: tuples that are a lower and an upper end.
    choices: values of the others.
  """

  ranges: Mapping[str, Range] = {}
  tuples: Mapping[str, tuple[Range, int | None]] = {}
  intervals: Sequence[str] = ()
  choices: Mapping[str, Sequence[str]] = {}


def outside(config: ConfigDict, tables: Tables) -> Iterator[str]:
  """Yields a sentence for each field that is not what the tables allow."""
  for field, allowed in tables.ranges.items():
    if not allowed.holds(get(config, field)):
      yield must(config, field, f'be {allowed}')
  for field, (allowed, size) in tables.tuples.items():
    yield from _outside_tuple(
      config, field, allowed, size, field in tables.intervals
    )
  for field, names in tables.choices.items():
    yield from _no_choice(config, field, names)


def _outside_tuple(
  config: ConfigDict,
  field: str,
  allowed: Range,
  size: int | None,
  interval: bool,
) -> Iterator[str]:
  value = get(config, field)
  if not all(map(allowed.holds, value)) or len(value) != (
    size or max(len(value), 1)
  ):
    number = f'{size} numbers' if size else 'one or more numbers'
    yield must(config, field, f'be {number}, each {allowed}')
  elif interval and value[0] > value[1]:
    yield must(config, field, 'be a lower and an upper end, in this order')


def _no_choice(
  config: ConfigDict, field: str, names: Sequence[str]
) -> Iterator[str]:
  value = get(config, field)
  if value not in names:
    near = nearest(str(value), names)
    hint = f'; did you mean {near!r}' if near else ''
    allowed = ', '.join(map(repr, names))
    yield must(
      config, field, f'be one of {allowed}{hint}', '?' if near else '.'
    )


def must(config: ConfigDict, field: str, rule: str, end: str = '.') -> str:
  """Returns the sentence that a field breaks a rule."""
  return f'config.{field}={get(config, field)!r} must {rule}{end}'


def get(config: ConfigDict, field: str) -> Any:
  """Returns the value of a field by its dotted name."""
  value: Any = config
  for name in field.split('.'):
    value = value[name]
  return value
