"""Tasks in turn and side by side: results, failures and stops."""

import os
import pathlib
import signal
import time

import jax
import pytest

from semppl_jax.config.loading import ConfigError
from semppl_jax.runtime.errors import StoppedError
from semppl_jax.runtime.signals import Interrupts
from semppl_jax.tools.comparison import parallel
from semppl_jax.tools.comparison.run import FailedError


def _tasks(tmp_path, *arguments):
  return [
    parallel.Task(f'Task {n}', n, (*x,), tmp_path / f'{n}.log')
    for n, x in enumerate(arguments)
  ]


def _each(function, tasks, jobs):
  with Interrupts() as interrupts:
    return dict(parallel.map_unordered(function, tasks, jobs, interrupts))


def work(value, interrupts):
  """What a task can end with; tasks are found by the names of functions."""
  del interrupts
  if value == 'fail':
    raise FailedError('It failed.')
  if value == 'bad':
    raise ConfigError('It cannot be used.')
  if value == 'die':
    os._exit(3)
  return 2 * value


def meet(path, other, interrupts):
  """Ends when another task has begun; returns the cores."""
  del interrupts
  path.touch()
  print(f'waiting for {other.name}')
  deadline = time.monotonic() + 60
  while not other.exists():
    assert time.monotonic() < deadline
    time.sleep(0.01)
  return os.sched_getaffinity(0)


def until_stopped(path: pathlib.Path, kind, interrupts):
  """Waits for a signal and notes it, or asks the program to stop, or fails."""
  path.touch()
  while kind != 'wait' and not path.with_name('wait').exists():
    time.sleep(0.01)
  if kind == 'ask':
    os.kill(os.getppid(), signal.SIGTERM)
  if kind == 'bad':
    raise ConfigError('It cannot be used.')
  deadline = time.monotonic() + 60
  while not interrupts.received() and time.monotonic() < deadline:
    time.sleep(0.01)
  path.with_suffix('.saved').touch()
  raise StoppedError


@pytest.mark.parametrize('jobs', [1, 2])
def test_a_failure_leaves_the_others(tmp_path, jobs):
  taken = []

  def tasks():
    for task in _tasks(tmp_path, [1], ['fail'], [3]):
      taken.append(task.key)
      yield task

  with Interrupts() as interrupts:
    results = {}
    for key, result in parallel.map_unordered(work, tasks(), jobs, interrupts):
      # Each is taken when it is about to start.
      assert len(taken) <= len(results) + jobs
      results[key] = result
  assert (results[0], results[2]) == (2, 6)
  assert isinstance(results[1], FailedError)
  assert str(results[1]) == 'It failed.'


def test_a_process_that_dies_is_a_failure(tmp_path):
  results = _each(work, _tasks(tmp_path, ['die'], [1]), 2)
  assert isinstance(results[0], FailedError)
  assert str(results[0]) == 'Its process ended with exit status 3.'
  assert results[1] == 2


@pytest.mark.skipif(
  not hasattr(os, 'sched_getaffinity') or len(os.sched_getaffinity(0)) < 2,
  reason='needs two cores that can be told apart',
)
def test_side_by_side_on_cores_of_their_own(tmp_path):
  paths = [tmp_path / x for x in 'ab']
  tasks = _tasks(tmp_path, paths, paths[::-1])
  results = _each(meet, tasks, 2)
  assert results[0] and results[1] and not results[0] & results[1]
  assert results[0] | results[1] == os.sched_getaffinity(0)
  assert (tmp_path / '0.log').read_text() == 'waiting for b\n'


@pytest.mark.parametrize(
  ('kind', 'error'), [('ask', StoppedError), ('bad', ConfigError)]
)
def test_the_others_are_told_to_save(tmp_path, kind, error):
  names = ('wait', kind, 'third')
  tasks = _tasks(tmp_path, *[(tmp_path / x, x) for x in names])
  with pytest.raises(error):
    _each(until_stopped, tasks, 2)
  assert (tmp_path / 'wait.saved').exists()
  assert not (tmp_path / 'third').exists()


@pytest.mark.parametrize('jobs', [1, 2])
def test_asked_to_stop_before_the_first_task(tmp_path, jobs):
  with Interrupts() as interrupts:
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(StoppedError):
      [*parallel.map_unordered(work, _tasks(tmp_path, [1]), jobs, interrupts)]


def test_too_many_for_the_machine(monkeypatch):
  parallel.check(1)
  monkeypatch.setattr(parallel, '_cores', lambda: [0, 1])
  parallel.check(2)
  with pytest.raises(ConfigError, match=r'--jobs=3 .* there are 2\.'):
    parallel.check(3)
  monkeypatch.setattr(jax, 'default_backend', lambda: 'tpu')
  with pytest.raises(ConfigError, match=r'runs on tpu .* need --jobs=1'):
    parallel.check(2)
  parallel.check(1)


def test_a_gpu_is_shared_when_no_run_takes_all_of_its_memory(monkeypatch):
  monkeypatch.setattr(parallel, '_cores', lambda: [0, 1])
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  monkeypatch.delenv('XLA_PYTHON_CLIENT_PREALLOCATE', raising=False)
  with pytest.raises(ConfigError, match=r'XLA_PYTHON_CLIENT_PREALLOCATE=false'):
    parallel.check(2)
  monkeypatch.setenv('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')
  parallel.check(2)


@pytest.mark.parametrize('jobs', [1, 2, 3, 5])
def test_shares_cover_the_cores(jobs):
  shares = parallel._shares([0, 1, 2, 4, 7], jobs)
  assert sorted(x for share in shares for x in share) == [0, 1, 2, 4, 7]
  assert max(map(len, shares)) - min(map(len, shares)) <= 1
