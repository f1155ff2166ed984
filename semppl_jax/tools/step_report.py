"""What `bench` found, as a person reads it, and the file that holds it."""

import pathlib
import tempfile
from typing import Any

from semppl_jax import config_file
from semppl_jax.tools import figures, parts

_NO_PARTS = (
  'The programs that tell the parts do not fit this memory, although the step'
  ' does; try a smaller config.batch_size for them.'
)


def text(report: dict[str, Any]) -> str:
  """Returns the report as a person reads it: figures, then parts."""
  found = report.get('parts')
  rest = {k: v for k, v in report.items() if k not in ('parts', 'programs')}
  lines = [figures.table(rest)]
  if 'parts' in report:
    lines.append(_NO_PARTS if found is None else _parts_table(found))
  return '\n\n'.join(lines)


def _parts_table(found: dict[str, dict[str, Any]]) -> str:
  return parts.table({k: parts.Part(**v) for k, v in found.items()})


def writable(out: str | None) -> pathlib.Path:
  """Returns the file to write, so that none is missing after measuring.

  Args:
    out: where it should be; the folder is made where it is missing.

  Raises:
    config_file.ConfigError: it is not said, or it cannot be written.
  """
  if not out:
    raise config_file.ConfigError('--out=FILE.json is missing.')
  path = pathlib.Path(out).expanduser()
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path.parent):
      pass
    if path.is_dir():
      raise IsADirectoryError(f'{out} is a folder')
  except OSError as error:
    raise config_file.ConfigError(
      f'--out={out} cannot be written: {error}.'
    ) from error
  return path
