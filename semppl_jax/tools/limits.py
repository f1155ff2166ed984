"""What compiling may take: flags of the programs that compile many configs."""

from typing import NamedTuple

from absl import flags

_MINUTES = flags.DEFINE_float(
  'limit_minutes', 30.0, 'Of compiling a row of the table.', 0.0
)
_GIB = flags.DEFINE_float(
  'limit_gib', 20.0, 'Of memory of the process that compiles a row.', 0.0
)


class Limits(NamedTuple):
  """The most that a process may take.

  Attributes:
    minutes: of time.
    gib: of resident memory.
  """

  minutes: float
  gib: float


def of_flags() -> Limits:
  """Returns what the flags say."""
  return Limits(_MINUTES.value, _GIB.value)


def broken(limits: Limits, seconds: float, gib: float) -> str | None:
  """Returns the field of `Limits` that is exceeded, or None."""
  if seconds > 60 * limits.minutes:
    return 'minutes'
  return 'gib' if gib > limits.gib else None


def sentence(limits: Limits, field: str) -> str:
  """Returns what is said of a row that exceeds that field."""
  unit = {'minutes': 'minutes', 'gib': 'GiB'}[field]
  return f'needs over {getattr(limits, field):g} {unit} to compile'
