"""Runs a command under limits of time and memory.

Compilers map far more memory than they use, so that a limit on addresses would
stop small programs. What counts is the peak of resident memory, read from
`/proc` at every poll; elsewhere than on Linux it is unknown and not limited.
"""

from collections.abc import Sequence
import math
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time
from typing import NamedTuple

_KIB_PER_GIB = 2**20


class Limits(NamedTuple):
  """Most that a process may take.

  Attributes:
    minutes: time.
    gib: resident memory.
  """

  minutes: float = math.inf
  gib: float = math.inf

  def exceeded(self, seconds: float, gib: float) -> str | None:
    """Returns the field that is exceeded, or None."""
    if seconds > 60 * self.minutes:
      return 'minutes'
    return 'gib' if gib > self.gib else None


_UNLIMITED = Limits()


class Finished(NamedTuple):
  """A command that has ended.

  Attributes:
    status: exit status; that of a signal is negative.
    exceeded: the field of its `Limits` that it was killed for, or None.
    seconds: duration.
    gib: peak of resident memory at the last poll.
    output: standard output.
    errors: standard error.
  """

  status: int
  exceeded: str | None
  seconds: float
  gib: float
  output: str
  errors: str

  def last_error(self) -> str:
    """Returns the last line of the standard error, or else the status."""
    lines = [x.strip() for x in self.errors.splitlines() if x.strip()]
    last = lines[-1] if lines else f'exit status {self.status}'
    return last.removeprefix('semppl_jax: ')


def run(
  command: Sequence[str],
  limits: Limits = _UNLIMITED,
  *,
  cwd: str | os.PathLike[str] | None = None,
  env: dict[str, str] | None = None,
  poll_seconds: float = 1.0,
) -> Finished:
  """Runs a command to its end or to a limit; an interrupt kills it as well.

  Args:
    command: program and arguments.
    limits: most that it may take; beyond, its process group is killed.
    cwd: working directory.
    env: environment variables to add.
    poll_seconds: time between two looks at its memory.

  Raises:
    OSError: the program is not found.
  """
  start = time.monotonic()
  with (
    tempfile.TemporaryFile('w+', errors='replace') as output,
    tempfile.TemporaryFile('w+', errors='replace') as errors,
  ):
    process = subprocess.Popen(
      command,
      stdin=subprocess.DEVNULL,
      stdout=output,
      stderr=errors,
      cwd=cwd,
      # JAX would end its errors with a note about itself.
      env=os.environ | {'JAX_TRACEBACK_FILTERING': 'off'} | (env or {}),
      start_new_session=True,  # A group to kill, with its own children.
    )
    gib, exceeded = 0.0, None
    try:
      while process.poll() is None and exceeded is None:
        gib = max(gib, _peak_gib(process.pid))
        exceeded = limits.exceeded(time.monotonic() - start, gib)
        if exceeded is None:
          _wait(process, poll_seconds)
    finally:
      _kill(process)
    for file in (output, errors):
      file.seek(0)
    seconds = time.monotonic() - start
    return Finished(
      process.wait(), exceeded, seconds, gib, output.read(), errors.read()
    )


def _wait(process: subprocess.Popen, seconds: float) -> None:
  try:
    process.wait(seconds)
  except subprocess.TimeoutExpired:
    return


def _kill(process: subprocess.Popen) -> None:
  if process.poll() is None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _peak_gib(pid: int) -> float:
  try:
    text = pathlib.Path(f'/proc/{pid}/status').read_text()
  except OSError:
    return 0.0  # It has just ended, or there is no /proc.
  match = re.search(r'^VmHWM:\s*(\d+) kB', text, re.MULTILINE)
  return int(match[1]) / _KIB_PER_GIB if match else 0.0
