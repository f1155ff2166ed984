"""Figures and lists as the page says them."""

from collections.abc import Sequence
import math


def percent(value: float | None, digits: int = 1) -> str:
  """A share in [0, 1] in per cent; a dash where it is not known."""
  if value is None or not math.isfinite(value):
    return '-'
  return f'{100 * value:.{digits}f} %'


def chance(classes: int) -> str:
  """What guessing has right, in parentheses after a blank; '' if unknown."""
  if not classes:
    return ''
  return f' (chance {100 / classes:.{2 if classes > 1 else 3}g} %)'


def points(difference: float) -> str:
  """A difference of two shares, as a phrase such as `2.0 points above`."""
  side = 'above' if difference >= 0 else 'below'
  return f'{abs(100 * difference):.1f} points {side}'


def duration(seconds: float) -> str:
  """A time as a person says it."""
  if seconds < 100:
    return f'{seconds:.1f} s'
  if seconds < 6000:
    return f'{seconds / 60:.1f} min'
  return f'{seconds / 3600:.1f} h'


def number(value: float | None) -> str:
  """A figure, of four digits at least; a dash where it is not known."""
  if value is None:
    return '-'
  return f'{value:,.0f}' if abs(value) >= 1000 else f'{value:.4g}'


def listed(names: Sequence[str], most: int = 3) -> str:
  """The first names, and how many others there are."""
  shown = ', '.join(names[:most])
  more = len(names) - most
  return f'{shown} and {more} more' if more > 0 else shown


def count(number: int, noun: str) -> str:
  """A number with its noun, in the plural where there are several."""
  return f'{number:,} {noun}' + ('' if number == 1 else 's')
