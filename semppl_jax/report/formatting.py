"""Numbers as the page writes them."""

import math


def percent(share: float | None, digits: int = 1) -> str:
  """Returns a share in [0, 1] in per cent; a dash where it is unknown."""
  if share is None or not math.isfinite(share):
    return '-'
  return f'{100 * share:.{digits}f} %'


def chance(classes: int) -> str:
  """Returns the accuracy of guessing, in parentheses; '' if unknown."""
  if not classes:
    return ''
  return f' (chance {100 / classes:.{2 if classes > 1 else 3}g} %)'


def points(difference: float) -> str:
  """Returns a difference of two shares, such as `2.0 points above`."""
  side = 'above' if difference >= 0 else 'below'
  return f'{abs(100 * difference):.1f} points {side}'


def number(value: float) -> str:
  """Returns a number with four significant digits or more."""
  return f'{value:,.0f}' if abs(value) >= 1000 else f'{value:.4g}'


def count(number: int, noun: str) -> str:
  """Returns a number with its noun in the singular or plural."""
  return f'{number:,} {noun}' + ('' if number == 1 else 's')
