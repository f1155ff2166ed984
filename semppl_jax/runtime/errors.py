"""Errors that a program prints as one sentence, and its exit statuses."""

from collections.abc import Mapping, Sequence
import sys

import numpy as np

# STOPPED is EX_TEMPFAIL of sysexits.h: the program was asked to stop before its
# end, and the same command continues. Schedulers can tell it from a failure.
OK, FAILED, BAD_INPUT, STOPPED = 0, 1, 2, 75
_MAX_SHOWN = 3


class ProgramError(Exception):
  """Base of the package's errors; the message is complete for a user.

  Attributes:
    exit_status: status of the program that it ends.
    abort: the process must leave at once, without running destructors.
  """

  exit_status = FAILED
  abort = False


class InputError(ProgramError, ValueError):
  """The config, the data or a file cannot be used; says what and where."""

  exit_status = BAD_INPUT


class NonFiniteError(ProgramError, RuntimeError):
  """The loss or a gradient stopped being finite."""


class StoppedError(ProgramError):
  """The program was asked to stop; finished work is saved."""

  exit_status = STOPPED


def complain(error: Exception | str, status: int) -> int:
  """Prints an error and returns the exit status."""
  print(f'semppl_jax: {error}', file=sys.stderr)  # noqa: T201
  return status


def first_line(error: BaseException) -> str:
  """Returns the first line of an error's message, or else its type."""
  return str(error).strip().partition('\n')[0] or type(error).__name__


def count_and_names(what: str, names: Sequence[object] | np.ndarray) -> str:
  """Returns a count and the first few names: `2 x: 'a', 'b'`."""
  shown = ', '.join(repr(str(name)) for name in names[:_MAX_SHOWN])
  more = ', ...' if len(names) > _MAX_SHOWN else ''
  return f'{len(names)} {what}: {shown}{more}'


def raise_if_any(
  problems: Mapping[str, Sequence[object]], where: str, *clauses: str
) -> None:
  """Raises an InputError that names every problem, if there is one.

  Args:
    problems: names that have each problem; an empty list is no problem.
    where: the field and its value.
    *clauses: further problems, one clause each.
  """
  found = [
    *(
      count_and_names(what, names) for what, names in problems.items() if names
    ),
    *clauses,
  ]
  if found:
    raise InputError(f'{where} has {"; ".join(found)}.')


def unreadable_file(where: str, file: str, error: Exception) -> InputError:
  """Returns the error of a file that TensorFlow cannot read.

  Args:
    where: field and value.
    file: the file.
    error: raised by TensorFlow.
  """
  reason = str(error).split('\n')[0].split(' [Op:')[0]
  return InputError(f'{where}: {file!r} cannot be read: {reason}.')
