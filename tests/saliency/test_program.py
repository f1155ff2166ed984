"""The program: whole, killed and started again, and with bad flags."""

import pathlib
import signal
import subprocess
import sys
import time

import pytest

from semppl_jax.data import masks

ROOT = pathlib.Path(__file__).resolve().parents[2]


def start(*arguments):
  return subprocess.Popen(
    [sys.executable, '-m', 'semppl_jax.saliency', *map(str, arguments)],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def finish(process):
  output, _ = process.communicate(timeout=300)
  return process.returncode, output


def contents(folder):
  return {x.name: x.read_bytes() for x in pathlib.Path(folder).iterdir()}


DATA = ('--config=configs/quickstart.py', '--config.data.limit=2000')


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  """The store that nobody kills, made by one worker."""
  folder = tmp_path_factory.mktemp('whole') / 'store'
  status, output = finish(
    start(*DATA, f'--out={folder}', '--workers=1', '--show=2')
  )
  assert status == 0, output
  assert 'store: 2,000 masks of 2,000 images' in output
  assert contents(folder)['contact_sheet.png'].startswith(b'\x89PNG')
  return folder


@pytest.mark.slow
@pytest.mark.parametrize('sent', [signal.SIGKILL, signal.SIGTERM], ids=str)
def test_killed_it_goes_on_and_ends_the_same(whole, tmp_path, sent):
  command = [*DATA, f'--out={tmp_path / "killed"}', '--workers=2']
  process = start(*command)
  while len([*tmp_path.glob('killed/*.tfrecord')]) < 3:
    assert process.poll() is None, finish(process)
    time.sleep(0.01)
  process.send_signal(sent)
  status, output = finish(process)
  assert status == (-sent if sent == signal.SIGKILL else 1), output
  assert 'Traceback' not in output
  assert masks.read_info(str(tmp_path / 'killed'), '').counts is None
  status, output = finish(start(*command))
  assert status == 0, output
  want = contents(whole)
  del want['contact_sheet.png']
  left = contents(tmp_path / 'killed')  # And what a kill cut short.
  assert want == {x: left[x] for x in left if x.endswith(('record', 'json'))}


@pytest.mark.parametrize(
  ('arguments', 'sentence'),
  [
    (['--data=embedded'], '--out and one of --data and --config are needed'),
    (['--data=nowhere-*', '--out=DIR'], "'nowhere-*' matches no file"),
    pytest.param(
      ['--data=embedded', '--out=DIR', '--detector=x'],
      '--detector=x must be one of ',
      marks=pytest.mark.slow,
    ),
    (
      ['--train_network', '--data=embedded', '--out=DIR', '--show=3'],
      '--train_network has no use for --show',
    ),
    pytest.param(
      ['--data=embedded', '--out=DIR', '--network=x', '--detector=mean'],
      '--network has no use for --detector',
      marks=pytest.mark.slow,
    ),
    (
      ['--data=embedded', '--out=DIR', '--epochs=1,1,1'],
      'without --train_network, has no use for --epochs',
    ),
    pytest.param(
      ['--data=embedded', '--out=DIR', '--network='],
      '--network= is not a file of a mask network',
      marks=pytest.mark.slow,
    ),
    pytest.param(
      ['--data=embedded', '--out=DIR', '--network=nowhere'],
      '--network=nowhere is not a file of a mask network',
      marks=pytest.mark.slow,
    ),
    pytest.param(
      ['--data=embedded', '--out=DIR', '--workers=-1'],
      '--workers and --show must be at least 0',
      marks=pytest.mark.slow,
    ),
  ],
)
def test_bad_flags_are_one_sentence(tmp_path, arguments, sentence):
  arguments = [x.replace('DIR', str(tmp_path / 'out')) for x in arguments]
  status, output = finish(start(*arguments))
  assert status == 2, output
  assert sentence in output and 'Traceback' not in output
  assert not (tmp_path / 'out').exists()


@pytest.mark.slow
def test_a_network_is_taught_and_makes_masks(tmp_path):
  data = ('--config=configs/quickstart.py', '--config.data.limit=200')
  command = [
    '--train_network', *data, f'--out={tmp_path / "net"}', '--epochs=1,1,1',
    '--train_images=64', '--workers=2',
  ]  # fmt: skip
  status, output = finish(start(*command))
  assert status == 0, output
  assert 'network.safetensors is written' in output
  file = tmp_path / 'net' / 'network.safetensors'
  made = file.read_bytes()
  assert not file.with_name('progress.npz').exists()
  status, output = finish(start(*command))
  assert status == 0 and 'epoch' not in output, output
  status, output = finish(start(*command, '--epochs=1,1,2'))
  assert status == 2 and 'name another --out' in output
  file.unlink()  # The detectors have done their work.
  status, output = finish(start(*command))
  assert status == 0, output
  assert file.read_bytes() == made
  stores = [tmp_path / str(workers) for workers in (1, 2)]
  for workers, store in enumerate(stores, 1):
    status, output = finish(
      start(
        *data,
        f'--network={file}',
        f'--out={store}',
        f'--workers={workers}',
        '--show=1',
      )
    )
    assert status == 0, output
    assert '200 masks of 200 images' in output
  assert contents(stores[0]) == contents(stores[1])
