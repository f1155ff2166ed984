"""Files of folders and buckets (`gs://...`): atomic writes, output paths."""

from collections.abc import Iterator
import contextlib
import json
import os
import pathlib
import secrets
import tempfile
from typing import Any

from etils import epath

from semppl_jax.runtime.errors import first_line, InputError


class WorkdirError(InputError):
  """The directory of a run cannot be written."""


def path(where: str | os.PathLike[str]) -> epath.Path:
  """Returns a path of a folder or bucket, which need not exist."""
  return epath.Path(where).expanduser()


@contextlib.contextmanager
def atomic_write(file: str | os.PathLike[str]) -> Iterator[epath.Path]:
  """Replaces a file as a whole when the block ends, or not if it fails.

  Several processes may write the same file: the last one wins.

  Args:
    file: the file to write, local or in a bucket; its folder must exist.

  Yields:
    A temporary path beside it, for the block to write to.
  """
  target = path(file)
  # Hosts that share a file system may have equal process ids.
  unique = f'{os.getpid()}-{secrets.token_hex(4)}'
  temporary = target.parent / f'{target.name}.{unique}.tmp'
  try:
    yield temporary
    temporary.replace(target)
  except BaseException:
    temporary.unlink(missing_ok=True)
    raise


def write_text(file: str | os.PathLike[str], text: str) -> None:
  """Writes a text file atomically."""
  with atomic_write(file) as temporary:
    temporary.write_text(text, encoding='utf-8')


def make_workdir(directory: epath.Path) -> None:
  """Makes a directory where it is missing, and tries to write there.

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
      f'--workdir={directory} cannot be written ({first_line(error)});'
      ' it must be a folder or a bucket (gs://BUCKET/NAME) that every process'
      ' of the run may write.'
    ) from error


def output_dir(out: str | None) -> pathlib.Path:
  """Returns the folder `--out`, made and seen to be writable.

  Raises:
    InputError: the flag is missing, or the folder cannot be written.
  """
  if not out:
    raise InputError('--out=DIR is missing: the folder of the results.')
  directory = pathlib.Path(out).expanduser()
  _try_writing(directory, out)
  return directory


def output_file(out: str | None) -> pathlib.Path:
  """Returns the file `--out`, its folder made and seen to be writable.

  Raises:
    InputError: the flag is missing, or the file cannot be written.
  """
  if not out:
    raise InputError('--out=FILE is missing: the file of the results.')
  file = pathlib.Path(out).expanduser()
  if file.is_dir():
    raise InputError(f'--out={out} cannot be written: it is a folder.')
  _try_writing(file.parent, out)
  return file


def _try_writing(directory: pathlib.Path, out: str) -> None:
  try:
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=directory):
      pass
  except OSError as error:
    raise InputError(
      f'--out={out} cannot be written: {error.strerror}.'
    ) from error


def read_json_lines(file: epath.Path) -> tuple[list[dict[str, Any]], int]:
  """Reads a file of one JSON object with a `step` a line.

  Returns:
    The lines, and the number of others, damaged as by a kill. Both are empty
    for a missing file.
  """
  if not file.exists():
    return [], 0
  lines, damaged = [], 0
  for text in file.read_bytes().decode(errors='replace').splitlines():
    try:
      line = json.loads(text)
      line['step'] = int(line['step'])
      lines.append(line)
    except (ValueError, KeyError, TypeError, OverflowError):
      damaged += 1
  return lines, damaged


def truncate_json_lines(file: epath.Path, step: int) -> list[dict[str, Any]]:
  """Removes lines of later steps and damaged ones, and returns the rest."""
  if not file.exists():
    return []
  kept = [line for line in read_json_lines(file)[0] if line['step'] <= step]
  write_text(file, ''.join(json.dumps(line) + '\n' for line in kept))
  return kept
