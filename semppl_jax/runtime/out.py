"""Where a program writes, seen to be writable before it works."""

import pathlib
import tempfile

from semppl_jax.config.loading import ConfigError


def folder(out: str | None) -> pathlib.Path:
  """Makes the folder of `--out`, where it is missing.

  Raises:
    ConfigError: it is not said, or it cannot be written to.
  """
  if not out:
    raise ConfigError('--out=DIR says where the results go.')
  path = pathlib.Path(out).expanduser()
  _try(path, out)
  return path


def file(out: str | None) -> pathlib.Path:
  """Makes the folder of the file of `--out`, where it is missing.

  Raises:
    ConfigError: it is not said, or it cannot be written.
  """
  if not out:
    raise ConfigError('--out=FILE says where the results go.')
  path = pathlib.Path(out).expanduser()
  if path.is_dir():
    raise ConfigError(f'--out={out} cannot be written: it is a folder.')
  _try(path.parent, out)
  return path


def _try(directory: pathlib.Path, out: str) -> None:
  try:
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=directory):
      pass
  except OSError as error:
    raise ConfigError(
      f'--out={out} cannot be written: {error.strerror}.'
    ) from error
