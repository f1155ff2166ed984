"""Profiles: which steps, and what a trace holds."""

import gzip

import jax
import jax.numpy as jnp
import pytest

from semppl_jax.runtime.errors import InputError
from semppl_jax.training import profiling
from semppl_jax.training.profiling import Profiler, StepWindow


def test_a_window_is_parsed():
  assert profiling.parse('100:5') == StepWindow(100, 5)
  assert profiling.parse(None) is None
  assert [n for n in range(9) if StepWindow(3, 2).contains(n)] == [3, 4]


@pytest.mark.parametrize('text', ['5', '0:3', '3:0', '-1:2', 'a:b', '1:2:3'])
def test_another_form_is_one_sentence(text):
  with pytest.raises(InputError, match=rf'--profile={text} must be STEP:COUNT'):
    profiling.parse(text)


def _take_steps(profiler, steps):
  x = jnp.ones((4, 4))
  for step in steps:
    with profiler.step(step) as results:
      results(jax.jit(lambda x: x @ x)(x))
  profiler.close()


def _traces(directory):
  return [
    gzip.decompress(file.read_bytes()).decode()
    for file in directory.rglob('*.trace.json.gz')
  ]


def test_steps_of_the_window_are_in_one_trace(tmp_path):
  _take_steps(Profiler(StepWindow(3, 2), tmp_path), range(1, 8))
  [trace] = _traces(tmp_path)
  for step in range(1, 8):
    assert (f'"step_num":"{step}"' in trace) == (step in (3, 4))


def test_a_run_that_ends_in_the_window_writes_its_trace(tmp_path):
  _take_steps(Profiler(StepWindow(3, 100), tmp_path), range(1, 5))
  assert len(_traces(tmp_path)) == 1


@pytest.mark.parametrize('window', [None, StepWindow(9, 1)])
def test_without_a_step_in_the_window_nothing_is_written(tmp_path, window):
  _take_steps(Profiler(window, tmp_path), range(1, 4))
  assert not [*tmp_path.iterdir()]
