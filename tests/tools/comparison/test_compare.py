"""Whole comparisons of tiny runs: restarts, failures and bad input."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import jax
import pytest

from semppl_jax.config import loading
from semppl_jax.runtime import errors
from semppl_jax.runtime.errors import InputError
from semppl_jax.runtime.signals import Interrupts
from semppl_jax.tools.comparison import (
  budget,
  experiments,
  run as run_lib,
  runner,
)
from semppl_jax.training import loop
from tests.helpers import tiny

ROOT = pathlib.Path(__file__).resolve().parents[3]
STEPS = 4


def _write(directory, images, name, **fields):
  """A config file of a tiny run with other fields."""
  path = directory / f'{name}.py'
  path.write_text(
    'import pathlib\nfrom tests.helpers import tiny\n'
    'def get_config():\n'
    f'  c = tiny.config(pathlib.Path({str(images)!r}))\n'
    f'  c.update_from_flattened_dict({fields!r})\n'
    '  return c\n'
  )
  return str(path)


@pytest.fixture(scope='module')
def files(images, tmp_path_factory):
  """SemPPL and the labels alone."""
  directory = tmp_path_factory.mktemp('configs')
  return [
    _write(directory, images, 'ours', method='semppl'),
    _write(directory, images, 'labels', method='supervised'),
  ]


@pytest.fixture(autouse=True)
def one_device(monkeypatch):
  """Runs on one device: it compiles sooner."""
  devices = jax.devices()[:1]
  monkeypatch.setattr(jax, 'devices', lambda *args: devices)


def _plan(files, text=f'{STEPS} steps', seeds=1, evaluations=2, **fields):
  return runner.Comparison(
    entries=tuple(experiments.load(files)),
    budget=budget.parse(text),
    seeds=seeds,
    evaluations=evaluations,
    **fields,
  )


@pytest.fixture(scope='module')
def finished(files, tmp_path_factory):
  """A finished comparison: its plan, directory and report."""
  out = tmp_path_factory.mktemp('finished')
  plan = _plan(files)
  with pytest.MonkeyPatch.context() as patched:
    devices = jax.devices()[:1]
    patched.setattr(jax, 'devices', lambda *args: devices)
    return plan, out, runner.run(plan, out)


def test_a_comparison_of_two_methods(finished):
  _, out, report = finished
  content = json.loads((out / 'comparison.json').read_text())
  assert not report.failed
  assert [*content['methods']] == ['ours', 'labels']
  assert content['data'] == 'train'
  assert (content['labelled_images'], content['test_images']) == (12, 18)
  assert content['views'] == '2 x 8 px + 1 x 8 px'
  for name, method in content['methods'].items():
    run = method['runs']['0']
    assert run['summary']['steps'] == method['steps'] == STEPS
    assert [x['step'] for x in run['curve']] == [2, 4]
    assert [x['images'] for x in run['curve']] == [32, 64]
    assert 0 < run['curve'][0]['minutes'] < run['curve'][1]['minutes']
    figures = run['figures']
    assert figures['minutes'] == run['curve'][1]['minutes']
    assert figures['images_per_second'] > 0
    assert 0 < figures['step_memory_gib'] < 1
    assert 0 <= figures['knn_labelled'] <= 1
    assert 0 <= figures['probe'] <= 1
    config = json.loads((out / f'{name}-0' / 'config.json').read_text())
    assert config['data']['labels_seed'] == config['seed'] == 0
    # The first evaluates the baselines of the seed, and the others need not.
    assert bool(run['floors']) == (name == 'ours')
  assert content['methods']['labels']['labels_only']
  assert content['methods']['labels']['figures']['classifier']['mean'] > 0
  labels = {
    m['runs']['0']['summary']['label_subset']
    for m in content['methods'].values()
  }
  assert len(labels) == 1
  lines = (out / 'comparison.md').read_text().splitlines()
  assert [x.split(' | ')[0] for x in lines if x.startswith('| ')][2:] == [
    '| raw pixels',
    '| untrained encoder',
    '| ours',
    '| labels (labels only)',
  ]
  assert (out / 'comparison.png').exists()


def test_started_again_it_trains_nothing_and_says_the_same(
  finished, monkeypatch
):
  plan, out, report = finished
  monkeypatch.setattr(loop, 'run', None)  # Calling it would fail.
  again = runner.run(plan, out)
  assert again is not None
  assert again.content == report.content


def test_runs_from_before_a_field_was_there_are_taken(
  finished, files, tmp_path, monkeypatch
):
  _, out, report = finished
  shutil.copytree(out, tmp_path / 'out')
  for file in (tmp_path / 'out').glob('*/config.json'):
    config = json.loads(file.read_text())
    del config['views']['antialias']
    file.write_text(json.dumps(config))
  monkeypatch.setattr(loop, 'run', None)  # Calling it would fail.
  again = runner.run(_plan(files), tmp_path / 'out')
  assert again is not None and again.content == report.content


def test_a_seed_and_a_method_more_need_only_their_own_runs(
  finished, files, images, tmp_path, monkeypatch
):
  """Not trained either: a run that fails at once tells what was asked for."""
  _, out, _ = finished
  asked = []

  def fail(config, workdir, **_):
    asked.append((workdir.name, config.seed, config.eval.baselines))
    raise errors.NonFiniteError('Step 1 is not finite.')

  monkeypatch.setattr(loop, 'run', fail)
  third = _write(tmp_path, images, 'third', method='semppl')
  report = runner.run(_plan([*files, third], seeds=2), out)
  assert report is not None and report.failed
  # Of a seed whose first method failed, the next one evaluates the baselines.
  assert asked == [
    ('third-0', 0, False),
    ('ours-1', 1, True),
    ('labels-1', 1, True),
    ('third-1', 1, True),
  ]
  assert set(report.content['methods']['ours']['runs']) == {'0'}
  assert 'ours, seed 1, failed:** Step 1' in (out / 'comparison.md').read_text()


@pytest.mark.slow
def test_what_was_interrupted_goes_on(finished, files, tmp_path, monkeypatch):
  plan, _, straight = finished
  with monkeypatch.context() as patched:
    tiny.stop_after(patched, 3)
    assert runner.run(plan, tmp_path) is None
  assert (tmp_path / 'ours-0' / 'checkpoints' / '3').exists()
  assert not (tmp_path / 'labels-0').exists()
  report = runner.run(plan, tmp_path)
  assert report is not None and not report.failed
  for name in ('ours', 'labels'):
    one, two = (
      x.content['methods'][name]['runs']['0'] for x in (straight, report)
    )
    for figure in ('knn_labelled', 'knn_all', 'probe', 'classifier'):
      assert one['figures'][figure] == two['figures'][figure]
    assert [x['scores'] for x in one['curve']] == [
      x['scores'] for x in two['curve']
    ]


@pytest.mark.slow
def test_side_by_side_finds_the_same(finished, files, tmp_path):
  _, _, straight = finished
  report = runner.run(_plan(files, jobs=2), tmp_path)
  assert report is not None and not report.failed
  for name in ('ours', 'labels'):
    one, two = (
      x.content['methods'][name]['runs']['0'] for x in (straight, report)
    )
    assert [x['scores'] for x in one['curve']] == [
      x['scores'] for x in two['curve']
    ]
    assert bool(two['floors']) == (name == 'ours')
    assert f'{STEPS}/{STEPS}' in (tmp_path / f'{name}-0.log').read_text()
  page = (tmp_path / 'comparison.md').read_text()
  assert '2 runs went on side by side' in page


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
  report = runner.run(_plan(files, seeds=2), tmp_path)
  assert report is not None and report.failed
  methods = report.content['methods']
  assert [*methods['ours']['failures']] == ['0', '1']
  assert methods['ours']['failures']['0'].startswith(reason)
  assert methods['labels']['figures']['knn_labelled']['values'] == (0.5, 0.5)
  text = (tmp_path / 'comparison.md').read_text()
  assert '| ours |' in text and '0 of 2' in text
  assert f'**ours, seed 1, failed:** {reason}' in text


def _summary():
  return {
    'steps': STEPS,
    'images_seen': 16 * STEPS,
    'knn_k': 5,
    'knn': {'knn/encoder/labelled/k5': 0.5},
    'classifiers': {},
    'images_per_second': 8.0,
    'devices': '1 x cpu',
    'versions': {},
    'workdir': '',
  }


def test_a_signal_between_two_runs_stops_all(files, tmp_path, monkeypatch):
  asked = []

  def run(config, workdir, interrupts):
    asked.append(workdir.name)
    os.kill(os.getpid(), signal.SIGTERM)
    return _summary()

  monkeypatch.setattr(loop, 'run', run)
  assert runner.run(_plan(files), tmp_path) is None
  assert asked == ['ours-0']
  # What that run found is in the report all the same.
  content = json.loads((tmp_path / 'comparison.json').read_text())
  assert content['methods']['ours']['figures']['knn_labelled']['mean'] == 0.5


def test_a_stop_starts_no_other_run(files, tmp_path, monkeypatch):
  asked = []

  def run(config, workdir, **_):
    asked.append(workdir.name)

  monkeypatch.setattr(loop, 'run', run)
  assert runner.run(_plan(files), tmp_path) is None
  assert asked == ['ours-0']


def test_a_full_disk_ends_all(files, tmp_path, monkeypatch):
  def run(config, workdir, **_):
    raise OSError('No space left on device')

  monkeypatch.setattr(loop, 'run', run)
  with pytest.raises(OSError, match='No space'):
    runner.run(_plan(files), tmp_path)


@pytest.mark.parametrize(
  ('which', 'field', 'value', 'sentence'),
  [
    (slice(1, 2), 'ema.decay', 0.5, r'ema\.decay was 0\.99 and is 0\.5'),
    (slice(2), 'eval.resize', 16, r'eval\.resize was 8 and is 16'),
    (slice(2), 'data.test_path', 'train', 'the test images are others'),
    (slice(2), 'data.path', 'test', 'the train images are others'),
  ],
)
def test_other_runs_are_left_alone_and_nothing_is_run(
  finished, files, images, monkeypatch, which, field, value, sentence
):
  """Although a seed is missing, whose runs could be made."""
  _, out, _ = finished
  entries = [*_plan(files).entries]
  value = str(images / value) if field.endswith('path') else value
  for place in range(2)[which]:
    config = loading.copy(entries[place].config)
    config.update_from_flattened_dict({field: value})
    entries[place] = entries[place]._replace(config=config.lock())
  plan = _plan(files, seeds=2)._replace(entries=tuple(entries))
  before = (out / 'comparison.json').read_text()
  monkeypatch.setattr(loop, 'run', None)
  with pytest.raises(loading.ConfigError, match=sentence) as error:
    runner.run(plan, out)
  assert str(error.value).endswith('another --out.')
  assert (out / 'comparison.json').read_text() == before


@pytest.mark.parametrize(
  ('file', 'text'),
  [
    ('summary.json', '{"steps"'),
    ('summary.json', '{}'),
    ('metrics.jsonl', '{"step": 1'),
    ('config.json', '[]'),
  ],
)
def test_a_broken_file_is_named(finished, files, tmp_path, file, text):
  _, out, _ = finished
  shutil.copytree(out, tmp_path / 'out')
  (tmp_path / 'out' / 'labels-0' / file).write_text(text)
  with pytest.raises(loading.ConfigError, match='remove it') as error:
    runner.run(_plan(files), tmp_path / 'out')
  assert str(error.value).startswith(str(tmp_path / 'out' / 'labels-0'))


@pytest.mark.parametrize('text', ['4 steps', '1 minutes'])
def test_bad_configs_are_named_before_anything_runs(
  files, images, tmp_path, monkeypatch, text
):
  monkeypatch.setattr(loop, 'run', None)
  bad = _write(tmp_path, images, 'bad', **{'semppl.k': 99})
  with pytest.raises(InputError, match=r'bad: .*semppl\.k=99'):
    runner.run(_plan([files[0], bad], text), tmp_path / 'out')
  assert not (tmp_path / 'out').exists()


def test_a_warm_up_longer_than_the_budget_is_named(files, tmp_path):
  with pytest.raises(InputError, match=r'ours: .*optimizer\.warmup'):
    runner.run(_plan(files, '1 steps'), tmp_path / 'out')
  # Another budget may be taken there.
  assert not (tmp_path / 'out').exists()


def test_without_a_test_set_there_is_nothing_to_compare_by(images, tmp_path):
  file = _write(tmp_path, images, 'blind', **{'data.test_path': ''})
  with pytest.raises(InputError, match='blind: there is no test set'):
    runner.run(_plan([file]), tmp_path / 'out')


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
  report = runner.run(_plan(files, '1 minutes', seeds=2), tmp_path)
  assert report is not None
  assert timed == ['timing-ours', 'timing-labels']
  assert not (tmp_path / 'timing-ours').exists()
  assert report.content['methods']['ours']['steps'] == 30
  assert report.content['methods']['labels']['failures']['1'] == (
    'Its steps could not be timed: No room.'
  )


@pytest.mark.slow
def test_a_comparison_in_minutes(files, tmp_path):
  plan = _plan(files[1:], '0.05 minutes')
  with Interrupts() as interrupts:
    scratch = tmp_path / 'scratch'
    assert run_lib.steps_per_minute(plan.entries[0], scratch, interrupts) > 1
  report = runner.run(plan, tmp_path / 'out')
  assert report is not None and not report.failed
  content = json.loads((tmp_path / 'out' / 'budget.json').read_text())
  steps = content['steps']['labels']
  assert steps % 2 == 0
  run = report.content['methods']['labels']['runs']['0']
  assert run['summary']['steps'] == steps
  # Not how many: the machine may have done other work in between.
  assert run['figures']['minutes'] > 0


def _program(*arguments):
  """Runs the program as a user would: exit status and output."""
  done = subprocess.run(
    [sys.executable, '-m', 'semppl_jax.tools.compare', *arguments],
    cwd=ROOT,
    env=os.environ | {'JAX_NUM_CPU_DEVICES': '1'},
    capture_output=True,
    text=True,
    check=False,
    timeout=600,
  )
  return done.returncode, done.stdout, done.stderr


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
  ('arguments', 'sentence'),
  [
    (['--configs=FILES', '--budget=4 steps', '--allow=batch'], '--allow=batch'),
    pytest.param(
      ['--configs=FILES', '--budget=10 hours'], "'10 minutes'", marks=SLOW
    ),
    pytest.param(['--budget=4 steps'], '--configs=FILE,FILE', marks=SLOW),
    pytest.param(
      ['--budget=4 steps', '--seeds=0'], '--seeds=0', marks=SLOW
    ),
    pytest.param(
      ['--configs=FILES', '--budget=4 steps', 'more'], "'more' is", marks=SLOW
    ),
  ],
)  # fmt: skip
def test_bad_flags_are_one_sentence(files, tmp_path, arguments, sentence):
  out = tmp_path / 'out'
  named = [x.replace('FILES', ','.join(files)) for x in arguments]
  status, _, errors = _program(f'--out={out}', *named)
  assert status == 2, errors
  assert len(errors.splitlines()) == 1
  assert errors.startswith('semppl_jax: ') and sentence in errors
  assert not out.exists()


def test_the_program_prints_the_table(finished, files):
  """Of a comparison that is finished already."""
  _, out, report = finished
  status, output, errors = _program(
    f'--configs={",".join(files)}',
    f'--budget={STEPS} steps',
    '--seeds=1',
    '--evaluations=2',
    f'--out={out}',
  )
  assert status == 0, errors
  assert output.startswith(report.describe().splitlines()[0])
  assert '| labels (labels only) |' in output
  assert f'Files in {out}: comparison.md' in output
