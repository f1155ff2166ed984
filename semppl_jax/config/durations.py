"""Durations and queue sizes of a config, in steps and rows; times in words.

An epoch is as many examples as the train set has, so that a duration stays
right when the batch size changes. A duration is cut down to whole batches
(300 epochs of 1,281,167 images at batch 4096 are 93,835 steps), as in BYOL
(arXiv 2006.07733, appendix J).
"""

from collections.abc import Iterator
from fractions import Fraction
import re

_AMOUNT = r'(\d+(?:\.\d+)?)'
_DURATION = re.compile(rf'\s*{_AMOUNT}\s+(epoch|example|step)s?\s*')
_ROWS = re.compile(rf'\s*{_AMOUNT}\s+(batch|batches|row|rows)\s*')


def steps(duration: str, batch_size: int, examples: int) -> int:
  """Returns the number of steps in a duration.

  Args:
    duration: `'300 epochs'`, `'2000000 examples'` or `'1000 steps'`; the
      amount may be a decimal (`'0.5 epochs'`).
    batch_size: images per step, over all devices.
    examples: images in the train set.

  Returns:
    Whole steps, at least one; 0 only where the amount itself is 0.

  Raises:
    ValueError: the string is not an amount and a unit.
  """
  match = _DURATION.fullmatch(duration)
  if match is None:
    raise ValueError(
      f"A duration is a number and 'epochs', 'examples' or 'steps', as in"
      f" '10 epochs'; got {duration!r}."
    )
  per_unit = {
    'epoch': Fraction(examples, batch_size),
    'example': Fraction(1, batch_size),
    'step': Fraction(1),
  }
  # Exact fractions: 0.1 * 30 in floats is a step too many or too few.
  amount = Fraction(match[1])
  return max(int(amount * per_unit[match[2]]), 1) if amount else 0


def invalid_duration(duration: str, field: str) -> Iterator[str]:
  """Yields a sentence if a field of the config is not a duration."""
  try:
    steps(duration, 1, 1)
  except ValueError as error:
    yield f'config.{field}={duration!r} is not a duration. {error}'


def queue_rows(size: str, batch_size: int) -> int:
  """Returns the rows N of a queue of `'20 batches'` or `'1024 rows'`.

  Args:
    size: an amount and a unit.
    batch_size: rows of one batch, over all devices.

  Raises:
    ValueError: the string is not an amount and a unit, or not whole rows.
  """
  match = _ROWS.fullmatch(size)
  if match is None:
    raise ValueError(
      "A queue size is a number and 'batches' or 'rows', as in"
      f" '20 batches'; got {size!r}."
    )
  unit = batch_size if match[2].startswith('batch') else 1
  rows = Fraction(match[1]) * unit
  if rows.denominator != 1:
    raise ValueError(
      f'A queue size is a whole number of rows; got {size!r}, which is'
      f' {float(rows)} rows at batch size {batch_size}.'
    )
  return int(rows)


def in_words(seconds: float) -> str:
  """Returns a time in words, such as `12.3 s`, `5.0 min` or `3.5 h`."""
  if seconds < 100:
    return f'{seconds:.1f} s'
  if seconds < 6000:
    return f'{seconds / 60:.1f} min'
  if seconds < 48 * 3600:
    return f'{seconds / 3600:.1f} h'
  return f'{seconds / 86400:.0f} days'
