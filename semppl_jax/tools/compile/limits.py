"""What a program that another one starts may take."""

from typing import NamedTuple


class Limits(NamedTuple):
  """The most that a process may take.

  Attributes:
    minutes: of time.
    gib: of resident memory.
  """

  minutes: float
  gib: float


def broken(limits: Limits, seconds: float, gib: float) -> str | None:
  """Returns the field of `Limits` that is exceeded, or None."""
  if seconds > 60 * limits.minutes:
    return 'minutes'
  return 'gib' if gib > limits.gib else None


def sentence(limits: Limits, field: str) -> str:
  """Returns what is said of a row that exceeds that field."""
  unit = {'minutes': 'minutes', 'gib': 'GiB'}[field]
  return f'needs over {getattr(limits, field):g} {unit} to compile'
