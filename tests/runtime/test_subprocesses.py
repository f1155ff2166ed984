"""Programs under a limit of time and of memory."""

import contextlib
import os
import pathlib
import signal
import sys
import time

import pytest

from semppl_jax.runtime import subprocesses
from semppl_jax.runtime.subprocesses import Finished, Limits

WIDE = Limits(minutes=1, gib=1)

needs_proc = pytest.mark.skipif(
  not pathlib.Path('/proc/self/status').exists(), reason='needs Linux'
)


def _run(text, limits=WIDE):
  command = [sys.executable, '-c', text]
  return subprocesses.run(command, limits, poll_seconds=0.05)


def _alive(pid):
  with contextlib.suppress(ProcessLookupError):
    os.kill(pid, 0)
    # One that has ended and that nobody has asked about is there, too.
    return ') Z ' not in pathlib.Path(f'/proc/{pid}/stat').read_text()
  return False


def test_a_program_within_its_limits_ends_by_itself():
  ended = _run('import sys; print(1); print(2, file=sys.stderr); exit(3)')
  assert (ended.status, ended.exceeded) == (3, None)
  assert (ended.output, ended.errors) == ('1\n', '2\n')
  assert 0 < ended.seconds < 10


def test_a_program_has_its_directory_and_variables(tmp_path):
  text = 'import os; print(os.getcwd(), os.environ["OTHER"])'
  ended = subprocesses.run(
    [sys.executable, '-c', text], cwd=tmp_path, env={'OTHER': 'x'}
  )
  assert ended.output == f'{tmp_path} x\n'


@pytest.mark.parametrize(
  ('errors', 'last'),
  [
    ('Traceback:\n  at\nValueError: that\n\n', 'ValueError: that'),
    ('semppl_jax: batch_size=1 is odd.\n', 'batch_size=1 is odd.'),
    ('', 'exit status 1'),
  ],
)
def test_the_last_line_is_the_error(errors, last):
  assert Finished(1, None, 1.0, 0.1, '', errors).last_error() == last


def test_a_program_over_its_time_is_killed():
  began = time.monotonic()
  ended = _run('import time; time.sleep(60)', Limits(minutes=0.3 / 60, gib=1))
  assert ended.exceeded == 'minutes'
  assert ended.status == -signal.SIGKILL
  assert 0.3 <= time.monotonic() - began < 10


@needs_proc
def test_a_program_over_its_memory_is_killed_and_what_it_maps_is_not_counted():
  text = (
    'import mmap, time\n'
    'mapped = mmap.mmap(-1, 2**31)\n'
    'x = b"1" * (({} * 2**20))\n'
    'time.sleep({})\n'
  )
  limits = Limits(minutes=1, gib=0.15)
  ended = _run(text.format(300, 60), limits)
  assert ended.exceeded == 'gib' and ended.status == -signal.SIGKILL
  assert 0.15 < ended.gib < 0.5
  ended = _run(text.format(50, 0.5), limits)
  assert ended.exceeded is None and ended.status == 0
  assert 0.05 < ended.gib < 0.15


@needs_proc
def test_what_the_program_has_started_is_killed_with_it(tmp_path):
  text = (
    'import subprocess, sys, time\n'
    'child = subprocess.Popen([sys.executable, "-c", "import time;'
    ' time.sleep(60)"])\n'
    f'with open({str(tmp_path / "pid")!r}, "w") as file:\n'
    '  file.write(str(child.pid))\n'
    'x = b"1" * (300 * 2**20)\n'
    'time.sleep(60)\n'
  )
  ended = _run(text, Limits(minutes=1, gib=0.15))
  assert ended.exceeded == 'gib'
  pid = int((tmp_path / 'pid').read_text())
  for _ in range(100):
    if not _alive(pid):
      return
    time.sleep(0.05)
  pytest.fail('It goes on.')


@needs_proc
def test_an_interrupted_program_is_killed(tmp_path):
  text = (
    'import os, signal, time\n'
    f'with open({str(tmp_path / "pid")!r}, "w") as file:\n'
    '  file.write(str(os.getpid()))\n'
    'os.kill(os.getppid(), signal.SIGUSR1)\n'
    'time.sleep(60)\n'
  )
  before = signal.signal(signal.SIGUSR1, signal.default_int_handler)
  try:
    with pytest.raises(KeyboardInterrupt):
      _run(text)
  finally:
    signal.signal(signal.SIGUSR1, before)
  assert not _alive(int((tmp_path / 'pid').read_text()))
