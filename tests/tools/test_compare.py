"""Whole comparisons of tiny runs: restarts, failures and bad input."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from semppl_jax.config import loading
from semppl_jax.runtime import errors
from semppl_jax.runtime.signals import Interrupts
from semppl_jax.tools.comparison import (
  run as run_lib,
  runner,
)
from semppl_jax.training import loop
from tests.helpers import comparisons, tiny

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def files(images, tmp_path_factory):
  return comparisons.files(tmp_path_factory.mktemp('configs'), images)


@pytest.fixture(autouse=True)
def one_device(monkeypatch):
  comparisons.use_one_device(monkeypatch)


@pytest.fixture(scope='module')
def finished(files, tmp_path_factory):
  """A finished comparison: its plan, directory and report."""
  out = tmp_path_factory.mktemp('finished')
  plan = comparisons.comparison(files)
  with pytest.MonkeyPatch.context() as patched:
    comparisons.use_one_device(patched)
    return plan, out, runner.run(plan, out)


@pytest.mark.slow
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
    assert run['summary']['steps'] == method['steps'] == comparisons.STEPS
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


@pytest.mark.slow
def test_started_again_it_trains_nothing_and_says_the_same(
  finished, monkeypatch
):
  plan, out, report = finished
  monkeypatch.setattr(loop, 'run', None)  # Calling it would fail.
  again = runner.run(plan, out)
  assert again is not None
  assert again.content == report.content


@pytest.mark.slow
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
  again = runner.run(comparisons.comparison(files), tmp_path / 'out')
  assert again is not None and again.content == report.content


@pytest.mark.slow
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
  third = comparisons.write(tmp_path, images, 'third', method='semppl')
  report = runner.run(comparisons.comparison([*files, third], seeds=2), out)
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
  report = runner.run(comparisons.comparison(files, jobs=2), tmp_path)
  assert report is not None and not report.failed
  for name in ('ours', 'labels'):
    one, two = (
      x.content['methods'][name]['runs']['0'] for x in (straight, report)
    )
    assert [x['scores'] for x in one['curve']] == [
      x['scores'] for x in two['curve']
    ]
    assert bool(two['floors']) == (name == 'ours')
    assert (
      f'{comparisons.STEPS}/{comparisons.STEPS}'
      in (tmp_path / f'{name}-0.log').read_text()
    )
  page = (tmp_path / 'comparison.md').read_text()
  assert '2 runs at a time' in page


@pytest.mark.slow
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
  entries = [*comparisons.comparison(files).entries]
  value = str(images / value) if field.endswith('path') else value
  for place in range(2)[which]:
    config = loading.copy(entries[place].config)
    config.update_from_flattened_dict({field: value})
    entries[place] = entries[place]._replace(config=config.lock())
  plan = comparisons.comparison(files, seeds=2)._replace(entries=tuple(entries))
  before = (out / 'comparison.json').read_text()
  monkeypatch.setattr(loop, 'run', None)
  with pytest.raises(loading.ConfigError, match=sentence) as error:
    runner.run(plan, out)
  assert str(error.value).endswith('another --out.')
  assert (out / 'comparison.json').read_text() == before


@pytest.mark.slow
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
    runner.run(comparisons.comparison(files), tmp_path / 'out')
  assert str(error.value).startswith(str(tmp_path / 'out' / 'labels-0'))


@pytest.mark.slow
def test_a_comparison_in_minutes(files, tmp_path):
  plan = comparisons.comparison(files[1:], '0.05 minutes')
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
      ['--configs=FILES', '--budget=4 steps', 'more'], "flag 'more'", marks=SLOW
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


@pytest.mark.slow
def test_the_program_prints_the_table(finished, files):
  """Of a comparison that is finished already."""
  _, out, report = finished
  status, output, errors = _program(
    f'--configs={",".join(files)}',
    f'--budget={comparisons.STEPS} steps',
    '--seeds=1',
    '--evaluations=2',
    f'--out={out}',
  )
  assert status == 0, errors
  assert output.startswith(report.describe().splitlines()[0])
  assert '| labels (labels only) |' in output
  assert f'Files in {out}: comparison.md' in output
