"""Problems of a data set, gathered so that one run shows them all."""

from collections.abc import Sequence

import numpy as np

SHOWN = 3


def naming(what: str, names: Sequence[object] | np.ndarray) -> str:
  """Returns `what` with a count and the first few names: `2 x: 'a', 'b'`."""
  shown = ', '.join(repr(str(name)) for name in names[:SHOWN])
  more = ', ...' if len(names) > SHOWN else ''
  return f'{len(names)} {what}: {shown}{more}'


def stop_on(problems: Sequence[str], where: str) -> None:
  """Does nothing without problems.

  Args:
    problems: one clause each.
    where: the field and its value.

  Raises:
    ValueError: naming every problem.
  """
  if problems:
    raise ValueError(f'{where} has {"; ".join(problems)}.')


def unreadable(where: str, file: str, error: Exception) -> ValueError:
  """Returns the error of a file that TensorFlow cannot read.

  Args:
    where: field and value.
    file: the file.
    error: what TensorFlow raised.
  """
  reason = str(error).split('\n')[0].split(' [Op:')[0]
  return ValueError(f'{where}: {file!r} cannot be read: {reason}.')
