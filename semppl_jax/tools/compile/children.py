"""Runs a program that may take so much time and memory, and no more.

Compilers map far more memory than they use, so that a limit on addresses would
stop small programs. What counts is the most that was resident, looked at every
second; on Linux, the one system for which libtpu is made.
"""

from collections.abc import Sequence
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time
from typing import IO, NamedTuple

from semppl_jax.tools.compile import limits as limits_lib
from semppl_jax.tools.compile.limits import Limits

_KIB_PER_GIB = 2**20


class Ended(NamedTuple):
  """How a program ended.

  Attributes:
    status: its exit status; that of a signal is negative.
    broken: the field of its `Limits` that it exceeded and was killed for.
    seconds: that it took.
    gib: its peak of resident memory, as last seen.
    errors: what it wrote to its standard error.
  """

  status: int
  broken: str | None
  seconds: float
  gib: float
  errors: str


def run(command: Sequence[str], limits: Limits, every: float = 1.0) -> Ended:
  """Runs a program to its end, or to a limit; kills it if it is interrupted.

  Args:
    command: the program and its arguments.
    limits: what it may take.
    every: seconds between two looks.
  """
  began = time.monotonic()
  with tempfile.TemporaryFile('w+', errors='replace') as errors:
    process = _start(command, errors)
    gib, broken = 0.0, None
    try:
      while process.poll() is None and broken is None:
        gib = max(gib, _peak_gib(process.pid))
        broken = limits_lib.broken(limits, time.monotonic() - began, gib)
        if broken is None:
          _wait(process, every)
    finally:
      _kill(process)
    errors.seek(0)
    seconds = time.monotonic() - began
    return Ended(process.wait(), broken, seconds, gib, errors.read())


def complaint(ended: Ended) -> str:
  """Returns the last line of a program's errors, or else its exit status."""
  lines = [line.strip() for line in ended.errors.splitlines() if line.strip()]
  last = lines[-1] if lines else f'exit status {ended.status}'
  return last.removeprefix('semppl_jax: ')


def _start(command: Sequence[str], errors: IO[str]) -> subprocess.Popen:
  return subprocess.Popen(
    command,
    stdin=subprocess.DEVNULL,
    stdout=subprocess.DEVNULL,
    stderr=errors,
    # JAX would end its errors with a note about itself.
    env=os.environ | {'JAX_TRACEBACK_FILTERING': 'off'},
    start_new_session=True,  # A group to kill, with what it may have started.
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
    return 0.0  # It has just ended.
  found = re.search(r'^VmHWM:\s*(\d+) kB', text, re.MULTILINE)
  return int(found[1]) / _KIB_PER_GIB if found else 0.0
