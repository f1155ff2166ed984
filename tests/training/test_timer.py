"""Stretches of time add up to all of it."""

import json
import time

import pytest

from semppl_jax.training import timer


def _lines(path):
  return [json.loads(line) for line in (path / timer.FILE).open()]


def test_all_time_is_of_some_work(tmp_path, monkeypatch):
  now = [100.0]
  monkeypatch.setattr(time, 'monotonic', lambda: now[0])
  watch = timer.Timer(tmp_path)
  with watch.timed(0, 'compile'):
    now[0] += 5
  now[0] += 1  # Before the training begins time is of nobody.
  watch.start_training()
  now[0] += 20
  with watch.timed(10, 'evaluation'):
    now[0] += 3
  now[0] += 2
  with watch.timed(12, 'checkpoint'):
    now[0] += 4
  watch.close()
  assert [(x['step'], x['work'], x['seconds']) for x in _lines(tmp_path)] == [
    (0, 'compile', 5),
    (10, 'training', 20),
    (10, 'evaluation', 3),
    (12, 'training', 2),
    (12, 'checkpoint', 4),
  ]


def test_a_restart_adds_to_the_file(tmp_path):
  for _ in range(2):
    watch = timer.Timer(tmp_path)
    with watch.timed(1, 'compile'):
      pass
    watch.close()
  assert len(_lines(tmp_path)) == 2


def test_work_that_is_given_up_counts_once(tmp_path, monkeypatch):
  now = [0.0]
  monkeypatch.setattr(time, 'monotonic', lambda: now[0])
  watch = timer.Timer(tmp_path)
  watch.start_training()
  now[0] += 100
  with pytest.raises(ZeroDivisionError), watch.timed(1, 'evaluation'):
    now[0] += 30
    _ = 1 / 0
  with watch.timed(1, 'checkpoint'):
    now[0] += 5
  watch.close()
  spent = {x['work']: x['seconds'] for x in _lines(tmp_path) if x['seconds']}
  assert spent == {'training': 100, 'evaluation': 30, 'checkpoint': 5}
