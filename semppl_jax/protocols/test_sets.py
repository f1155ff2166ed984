"""Which of the known test sets an evaluation reads."""

import logging
from typing import Any

from semppl_jax.runtime.errors import InputError

_log = logging.getLogger(__name__)


def chosen(field: str, asked: str, table: Any, data_dir: str) -> list[str]:
  """Names of sets: those asked for, or all that are on the disk.

  Args:
    field: the config field, for messages.
    asked: names with commas between, or ''.
    table: module with `SETS` and `absent`.
    data_dir: folder of prepared data sets; '' for that of
      tensorflow_datasets.

  Raises:
    InputError: a name that is not known, or a set that is not there.
  """
  names = [name.strip() for name in asked.split(',') if name.strip()]
  if not names:
    there = [n for n in table.SETS if not table.absent(n, data_dir)]
    left = len(table.SETS) - len(there)
    if left:
      _log.info('%s: %d of %d sets are absent.', field, left, len(table.SETS))
    return there
  for name in names:
    try:
      reason = table.absent(name, data_dir)
    except ValueError as error:
      reason = str(error)
    if reason:
      raise InputError(f'config.{field}={asked!r}: {reason}')
  return names
