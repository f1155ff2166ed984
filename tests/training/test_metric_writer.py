"""Records: written late, cut on resume, and a warning of collapse."""

import json
import logging
import types

import jax
import jax.numpy as jnp

from semppl_jax.runtime import device_memory
from semppl_jax.training.metric_writer import log_step_memory, MetricWriter


def _read(path):
  return [json.loads(x) for x in (path / 'metrics.jsonl').open()]


def test_records_wait_for_their_step(tmp_path):
  log = MetricWriter(tmp_path, 0, 10)
  for step in (1, 2, 3):
    log.record(step, {'loss/total': jnp.float32(step)}, {'pace': 2.0})
  assert [x['step'] for x in log.flush(until=2)] == [1, 2]
  assert [x['step'] for x in _read(tmp_path)] == [1, 2]
  log.close()
  assert _read(tmp_path)[-1] == {'step': 3, 'loss/total': 3.0, 'pace': 2.0}


def test_resume_drops_later_and_broken_lines(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  path.write_text('{"step": 1, "a": 1.0}\n{"step": 2, "a": 2.0}\n{"step": 3,')
  log = MetricWriter(tmp_path, 1, 10)
  log.scalars(2, {'a': 5.0})
  log.close()
  assert _read(tmp_path) == [{'step': 1, 'a': 1.0}, {'step': 2, 'a': 5.0}]
  assert log.history['a'] == [(1, 1.0), (2, 5.0)]


def test_recent_is_the_mean_of_the_last_records(tmp_path):
  log = MetricWriter(tmp_path, 0, 10)
  for step in range(20):
    log.scalars(step, {'a': float(step)})
  log.close()
  assert log.recent('a') == 17.0
  assert log.recent('absent') is None


def test_collapse_is_said_once(tmp_path, caplog):
  log = MetricWriter(tmp_path, 0, 10)
  with caplog.at_level(logging.WARNING):
    log.scalars(1, {'deviation/projection': 0.5})
    assert not caplog.records
    log.scalars(2, {'deviation/projection': 0.01})
    log.scalars(3, {'deviation/projection': 0.01})
  log.close()
  assert len([r for r in caplog.records if 'collaps' in r.message]) == 1


def test_what_could_not_be_measured_is_not_recorded(tmp_path):
  log = MetricWriter(tmp_path, 0, 10)
  log.scalars(1, {'pseudo/accuracy': float('nan'), 'loss/total': 1.0})
  log.close()
  assert _read(tmp_path) == [{'step': 1, 'loss/total': 1.0}]
  assert log.recent('pseudo/accuracy') is None


def test_memory_of_the_step_is_recorded_once():
  compiled = jax.jit(lambda x: x).lower(jnp.ones((512, 512))).compile()
  lines, history = [], {}

  def scalars(step, values):
    lines.append((step, values))
    history.update({name: [(step, x)] for name, x in values.items()})

  log = types.SimpleNamespace(history=history, scalars=scalars)
  log_step_memory(log, 3, compiled)
  log_step_memory(log, 5, compiled)
  assert lines == [(3, {'memory/step_gib': device_memory.step_gib(compiled)})]
