"""Selection of the test sets that an evaluation reads."""

import logging
import types

from semppl_jax.runtime.errors import InputError

_log = logging.getLogger(__name__)


def select(
  field: str, requested: str, catalog: types.ModuleType, data_dir: str
) -> list[str]:
  """Returns the requested sets, or all sets on the disk if none is requested.

  Args:
    field: the config field, for messages.
    requested: names separated by commas, or ''.
    catalog: module of the known sets, with `SETS` and `absent`.
    data_dir: folder of prepared data sets; '' for that of tensorflow_datasets.

  Raises:
    InputError: a requested set is unknown or not on the disk.
  """
  names = [name.strip() for name in requested.split(',') if name.strip()]
  if not names:
    known = catalog.SETS
    present = [n for n in known if not catalog.absent(n, data_dir)]
    if len(present) < len(known):
      missing = len(known) - len(present)
      _log.info('%s: %d of %d sets not found.', field, missing, len(known))
    return present
  for name in names:
    try:
      reason = catalog.absent(name, data_dir)
    except ValueError as error:
      reason = str(error)
    if reason:
      raise InputError(f'config.{field}={requested!r}: {reason}')
  return names
