"""Comparisons whose runs fail, stop or cannot start; nothing is trained."""

import json
import os
import signal

import pytest

from semppl_jax.runtime import errors
from semppl_jax.runtime.errors import InputError
from semppl_jax.tools.comparison import (
  runner,
)
from semppl_jax.training import loop
from tests.helpers import comparisons


@pytest.fixture(scope='module')
def files(images, tmp_path_factory):
  return comparisons.files(tmp_path_factory.mktemp('configs'), images)


@pytest.fixture(autouse=True)
def one_device(monkeypatch):
  comparisons.use_one_device(monkeypatch)


def _summary():
  return {
    'steps': comparisons.STEPS,
    'images_seen': 16 * comparisons.STEPS,
    'knn_k': 5,
    'knn': {'knn/encoder/labelled/k5': 0.5},
    'classifiers': {},
    'images_per_second': 8.0,
    'devices': '1 x cpu',
    'versions': {},
    'workdir': '',
  }


@pytest.mark.parametrize(
  ('error', 'reason'),
  [
    (errors.NonFiniteError('Step 3 is not finite.'), 'Step 3 is not finite'),
    (InputError('Too many are unreadable.'), 'Too many are unreadable.'),
    (TypeError('no such\nthing'), 'TypeError: no such'),
  ],
)
def test_a_run_that_fails_leaves_the_others(
  files, tmp_path, monkeypatch, error, reason
):
  def run(config, workdir, **_):
    if config.method == 'semppl':
      raise error
    return _summary()

  monkeypatch.setattr(loop, 'run', run)
  report = runner.run(comparisons.comparison(files, seeds=2), tmp_path)
  assert report is not None and report.failed
  methods = report.content['methods']
  assert [*methods['ours']['failures']] == ['0', '1']
  assert methods['ours']['failures']['0'].startswith(reason)
  assert methods['labels']['figures']['knn_labelled']['values'] == (0.5, 0.5)
  text = (tmp_path / 'comparison.md').read_text()
  assert '| ours |' in text and '0 of 2' in text
  assert f'**ours, seed 1, failed:** {reason}' in text


def test_a_signal_between_two_runs_stops_all(files, tmp_path, monkeypatch):
  asked = []

  def run(config, workdir, interrupts):
    asked.append(workdir.name)
    os.kill(os.getpid(), signal.SIGTERM)
    return _summary()

  monkeypatch.setattr(loop, 'run', run)
  assert runner.run(comparisons.comparison(files), tmp_path) is None
  assert asked == ['ours-0']
  # What that run found is in the report all the same.
  content = json.loads((tmp_path / 'comparison.json').read_text())
  assert content['methods']['ours']['figures']['knn_labelled']['mean'] == 0.5


def test_a_stop_starts_no_other_run(files, tmp_path, monkeypatch):
  asked = []

  def run(config, workdir, **_):
    asked.append(workdir.name)

  monkeypatch.setattr(loop, 'run', run)
  assert runner.run(comparisons.comparison(files), tmp_path) is None
  assert asked == ['ours-0']


def test_a_full_disk_ends_all(files, tmp_path, monkeypatch):
  def run(config, workdir, **_):
    raise OSError('No space left on device')

  monkeypatch.setattr(loop, 'run', run)
  with pytest.raises(OSError, match='No space'):
    runner.run(comparisons.comparison(files), tmp_path)


@pytest.mark.parametrize('text', ['4 steps', '1 minutes'])
def test_bad_configs_are_named_before_anything_runs(
  files, images, tmp_path, monkeypatch, text
):
  monkeypatch.setattr(loop, 'run', None)
  bad = comparisons.write(tmp_path, images, 'bad', **{'semppl.k': 99})
  with pytest.raises(InputError, match=r'bad: .*semppl\.k=99'):
    runner.run(comparisons.comparison([files[0], bad], text), tmp_path / 'out')
  assert not (tmp_path / 'out').exists()


def test_a_warm_up_longer_than_the_budget_is_named(files, tmp_path):
  with pytest.raises(InputError, match=r'ours: .*optimizer\.warmup'):
    runner.run(comparisons.comparison(files, '1 steps'), tmp_path / 'out')
  # Another budget may be taken there.
  assert not (tmp_path / 'out').exists()


def test_without_a_test_set_there_is_nothing_to_compare_by(images, tmp_path):
  file = comparisons.write(tmp_path, images, 'blind', **{'data.test_path': ''})
  with pytest.raises(InputError, match='blind: there is no test set'):
    runner.run(comparisons.comparison([file]), tmp_path / 'out')


def test_minutes_are_timed_for_each_config(files, tmp_path, monkeypatch):
  timed = []

  def run(config, workdir, **_):
    workdir.mkdir(parents=True)
    if workdir.name.startswith('timing'):
      assert config.optimizer.warmup == config.eval.every == '0 steps'
      assert not config.eval.baselines
      timed.append(workdir.name)
      if config.method == 'supervised':
        raise InputError('No room.')
    else:
      assert config.duration == '30 steps'
      assert config.eval.every == '15 steps'
    (workdir / 'summary.json').write_text('{}')
    return _summary()

  monkeypatch.setattr(loop, 'run', run)
  # A minute has 8 * 60 images, and a batch 16.
  report = runner.run(
    comparisons.comparison(files, '1 minutes', seeds=2), tmp_path
  )
  assert report is not None
  assert timed == ['timing-ours', 'timing-labels']
  assert not (tmp_path / 'timing-ours').exists()
  assert report.content['methods']['ours']['steps'] == 30
  assert report.content['methods']['labels']['failures']['1'] == (
    'Its steps could not be timed: No room.'
  )
