"""Starts `python -m semppl_jax.main` on the tiny config, as a user would."""

import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def write_config(
  directory: pathlib.Path,
  images: pathlib.Path,
  steps: int,
  method: str = 'semppl',
  colors: bool = False,
):
  """A config file of the tiny run, as a path."""
  path = directory / f'tiny_{steps}.py'
  path.write_text(
    'import pathlib\nfrom tests.helpers import tiny\n'
    f'def get_config():\n'
    f'  images = pathlib.Path({str(images)!r})\n'
    f'  return tiny.config(images, {steps}, {method!r}, {colors})\n'
  )
  return path


def start(
  *arguments,
  devices: int = 1,
  file_kib: int | None = None,
  as_users_do: bool = False,
  report: bool = False,
):
  """Starts the program on so many CPU devices; output is kept.

  With `file_kib`, writing beyond so many KiB of a file fails as on a full disk.
  With `as_users_do`, it is compiled as theirs are, which takes longer; with
  `report`, it writes the page of the run at its end.
  """
  environment = os.environ | {
    'JAX_PLATFORMS': 'cpu',
    'JAX_NUM_CPU_DEVICES': str(devices),
    'PYTHONPATH': str(ROOT),
  }
  if as_users_do:
    environment['XLA_FLAGS'] = ''

  command = [sys.executable, '-m', 'semppl_jax.main', *map(str, arguments)]
  command.append('--report' if report else '--noreport')
  if file_kib is not None:
    # The cache of compiled programs is shared: no cut entry may get there.
    environment['JAX_ENABLE_COMPILATION_CACHE'] = 'false'
    shell = f'trap "" XFSZ; ulimit -f {file_kib}; exec "$@"'
    command = ['bash', '-c', shell, 'bash', *command]
  return subprocess.Popen(
    command,
    env=environment,
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def finish(process, timeout: float = 900) -> tuple[int, str]:
  """Waits for the program, unless it hangs: exit status and output."""
  output, _ = process.communicate(timeout=timeout)
  return process.returncode, output


def saved_step(output: str) -> int:
  """Returns the step that a run which was asked to stop says it saved."""
  return int(re.findall(r'Asked to stop: saved step (\d+);', output)[-1])


def wait_for_step(workdir, step, process):
  """Returns when the records reach a step, or the program ends."""
  path = workdir / 'metrics.jsonl'
  while process.poll() is None:
    lines = path.read_text().splitlines() if path.exists() else []
    if lines and json.loads(lines[-1] if lines[-1].endswith('}') else
                            lines[-2])['step'] >= step:  # fmt: skip
      return
    time.sleep(0.002)


def free_port() -> int:
  """A TCP port that nobody listens on."""
  with socket.socket() as probe:
    probe.bind(('127.0.0.1', 0))
    return probe.getsockname()[1]
