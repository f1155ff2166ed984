"""Where a run goes: a folder, or a bucket (`gs://...`)."""

import os

from etils import epath

from semppl_jax.runtime import errors


class WorkdirError(ValueError):
  """Nothing can be written where the run should go."""


def path(where: str | os.PathLike[str]) -> epath.Path:
  """Returns a directory as a path, whether or not it is there."""
  return epath.Path(where).expanduser()


def write_whole(file: epath.Path, text: str) -> None:
  """Writes a file, whole or not at all."""
  temporary = file.parent / f'{file.name}.tmp'
  temporary.write_text(text)
  temporary.replace(file)


def make(directory: epath.Path) -> None:
  """Makes a directory where it is missing, and writes there once to see.

  Raises:
    WorkdirError: it cannot be written.
  """
  probe = directory / f'.writable_{os.getpid()}'
  try:
    directory.mkdir(parents=True, exist_ok=True)
    probe.write_text('')
    probe.unlink()
  # Each file system has errors of its own, of the network too.
  except Exception as error:
    raise WorkdirError(
      f'--workdir={directory} cannot be written ({errors.first_line(error)});'
      ' it must be a folder or a bucket (gs://BUCKET/NAME) that every process'
      ' of the run may write.'
    ) from error
