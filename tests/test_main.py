"""The command line: exit codes, sentences, and runs that are killed."""

import os
import random
import signal

import jax
import pytest

from tests.helpers import program, tiny

STEPS = 20
SLOW = pytest.mark.slow


@pytest.fixture(scope='module')
def straight(images, tmp_path_factory):
  """A run that nobody kills: its config file and its last state."""
  directory = tmp_path_factory.mktemp('straight')
  config = program.write_config(directory, images, STEPS, colors=True)
  workdir = directory / 'run'
  status, output = program.finish(
    program.start(
      f'--config={config}',
      f'--workdir={workdir}',
      as_users_do=True,
      report=True,
    )
  )
  assert status == 0, output
  assert 'k-NN top-1 on 18 test images' in output
  assert output.rstrip().endswith(f'Report: {workdir / "report.html"}')
  assert 't-SNE' in (workdir / 'report.html').read_text()
  return config, _state(images, workdir)


def _state(images, workdir, colors=True):
  config = tiny.config(images, STEPS, colors=colors)
  return tiny.final_state(config, workdir, jax.devices()[:1])


@SLOW
def test_the_page_of_a_finished_run_is_made_again_where_it_is_older(straight):
  config, _ = straight
  workdir = config.parent / 'run'
  page = workdir / 'report.html'
  command = (f'--config={config}', f'--workdir={workdir}')
  for made, again in ((0, True), (page.stat().st_mtime, False)):
    page.write_text('made on the way')
    os.utime(page, (made, made))
    status, output = program.finish(program.start(*command, report=True))
    assert status == 0, output
    assert 'This run is finished' in output
    assert (page.read_text() != 'made on the way') == again


@SLOW
@pytest.mark.parametrize('kills', [1, 5])
def test_killed_at_random_steps_it_ends_the_same(
  images, straight, tmp_path, kills
):
  config, (step, want) = straight
  rng = random.Random(kills)
  workdir = tmp_path / 'run'
  command = (f'--config={config}', f'--workdir={workdir}')
  for at in sorted(rng.randrange(1, STEPS - 4) for _ in range(kills)):
    process = program.start(*command, as_users_do=True)
    program.wait_for_step(workdir, at, process)
    process.send_signal(signal.SIGKILL)
    assert program.finish(process)[0] == -signal.SIGKILL
    assert not (workdir / 'summary.json').exists()
  status, output = program.finish(program.start(*command, as_users_do=True))
  assert status == 0, output
  again, got = _state(images, workdir)
  assert again == step
  tiny.assert_same(want, got)


@pytest.mark.slow
def test_sigterm_saves_and_the_status_says_so(images, tmp_path):
  config = program.write_config(tmp_path, images, STEPS)
  workdir = tmp_path / 'run'
  process = program.start(f'--config={config}', f'--workdir={workdir}')
  program.wait_for_step(workdir, 3, process)
  process.send_signal(signal.SIGTERM)
  status, output = program.finish(process)
  assert status == 75, output
  assert 'Asked to stop: saved step' in output
  saved = program.saved_step(output)
  assert _state(images, workdir, colors=False)[0] == saved


@SLOW
def test_a_full_disk_keeps_the_last_good_checkpoint(images, straight, tmp_path):
  config, _ = straight
  workdir = tmp_path / 'run'
  command = (f'--config={config}', f'--workdir={workdir}')
  first = program.start(*command)
  program.wait_for_step(workdir, 10, first)
  first.send_signal(signal.SIGTERM)
  assert program.finish(first)[0] == 75
  before, state = _state(images, workdir)
  status, output = program.finish(program.start(*command, file_kib=20))
  assert status == 1, output
  # Threads of tensorstore may complain before it; the last line is ours.
  assert 'could not be written' in output.splitlines()[-1]
  after, kept = _state(images, workdir)
  assert before == after
  tiny.assert_same(state, kept)


@pytest.mark.parametrize('arguments,sentence', [
    (['--config.batchsize=8'], "did you mean 'batch_size'"),
    (['--config.batch_size=7', '--config.semppl.k=99'], 'semppl.k'),
    pytest.param(['--config.data.path=/nowhere'], '/nowhere', marks=SLOW),
    pytest.param(['--config.data.kind=tfds', '--config.data.name=cifar11'],
                 'cifar10', marks=SLOW),
    pytest.param(['--process=1'], '--distributed', marks=SLOW),
    ([], '--workdir'),
], ids=str)  # fmt: skip
def test_bad_input_is_one_sentence(images, tmp_path, arguments, sentence):
  config = program.write_config(tmp_path, images, STEPS)
  workdir = [f'--workdir={tmp_path / "run"}'] if arguments else []
  status, output = program.finish(
    program.start(f'--config={config}', *workdir, *arguments)
  )
  assert status == 2, output
  assert 'Traceback' not in output
  assert sentence in output
  assert not (tmp_path / 'run').exists()


def test_check_prints_the_plan_and_trains_nothing(images, tmp_path):
  config = program.write_config(tmp_path, images, STEPS)
  status, output = program.finish(
    program.start(
      f'--config={config}', f'--workdir={tmp_path / "run"}', '--check'
    )
  )
  assert status == 0, output
  for word in ('images', 'labelled', 'steps', 'parameters', 'memory', 'time'):
    assert word in output
  assert not (tmp_path / 'run').exists()
