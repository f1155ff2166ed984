"""The program: what it prints, what it writes, and how it ends."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from semppl_jax.exchange import load, skeleton, torch_names
from semppl_jax.weights import WeightsError


@pytest.fixture(scope='module')
def file(tmp_path_factory):
  network = skeleton.settings(backbone='wide_resnet28_2', stem='cifar')
  network.classifier.classes = 3
  rng = np.random.default_rng(0)
  state = {
    name: torch.from_numpy(rng.random(entry.torch_shape(), np.float32))
    for entry in torch_names.table(network, ('classifier',))
    for name in entry.theirs
  }
  state['queue'] = torch.ones(3)
  path = tmp_path_factory.mktemp('foreign') / 'wide.pth'
  torch.save({'state_dict': state}, path)
  return path


def _run(*arguments):
  return subprocess.run(
    [sys.executable, '-m', 'semppl_jax.import_weights', *map(str, arguments)],
    capture_output=True,
    text=True,
    check=False,
  )


def _names(folder, *names):
  path = folder / 'names.txt'
  path.write_text('\n'.join(names) + '\n')
  return f'--class_names={path}'


def test_imports_and_says_what(tmp_path, file):
  out = tmp_path / 'imported'
  done = _run(file, f'--out={out}', _names(tmp_path, 'cat', 'dog', 'owl'))
  assert done.returncode == 0, done.stderr
  (line,) = done.stdout.splitlines()
  assert line == (
    f"{out}: wide_resnet28_2 x1, cifar stem, padding 'torch',"
    ' classifier (3 classes), left out: queue.'
  )
  weights = load.load(out)
  assert weights.class_names == ('cat', 'dog', 'owl')
  assert weights.heads == ('classifier',)
  want = load.load(file)
  np.testing.assert_array_equal(
    weights.params['classifier']['w'], want.params['classifier']['w']
  )


@pytest.mark.slow
def test_weights_are_not_replaced(tmp_path, file):
  out = tmp_path / 'imported'
  _run(file, f'--out={out}')
  before = (out / 'weights.json').stat()
  _assert_bad(_run(file, f'--out={out}'), 'holds weights already')
  assert (out / 'weights.json').stat() == before


def _assert_bad(done, word):
  assert done.returncode == 2, done.stderr
  (line,) = done.stderr.strip().splitlines()
  assert line.startswith('semppl_jax: ') and word in line
  assert not done.stdout


@pytest.mark.slow
def test_class_names_of_another_count(tmp_path, file):
  out = tmp_path / 'imported'
  done = _run(file, f'--out={out}', _names(tmp_path, 'cat', 'dog'))
  _assert_bad(done, 'has 2 names, and the classifier of')
  assert not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
  ('arguments', 'word'),
  [
    ([], '--out'),
    (['x.pth'], '--out'),
    (['x.pth', '--out=x'], 'no file'),
    (['x.pth', '--uot=x'], 'uot'),
    ([__file__, '--out=x'], 'no file of PyTorch'),
  ],
)
def test_bad_flags(arguments, word):
  _assert_bad(_run(*arguments), word)


@pytest.mark.slow
def test_hostile_files_are_one_sentence(tmp_path):
  marker = tmp_path / 'ran'
  path = tmp_path / 'x.pkl'
  path.write_bytes(f"cos\nsystem\n(S'touch {marker}'\ntR.".encode())
  done = _run(path, f'--out={tmp_path / "out"}')
  _assert_bad(done, 'os.system')
  assert not marker.exists()
  with pytest.raises(WeightsError, match=r'os\.system'):
    load.load(path)
