"""The program: what it prints, what it writes, and how it ends."""

import subprocess
import sys

from absl import flags
from absl.testing import flagsaver
import jax
import numpy as np
import pytest
import torch

from semppl_jax import import_weights
from semppl_jax.exchange import (
  architecture,
  load,
  torch_mapping,
  weights_dir,
)
from semppl_jax.models.weights import WeightsError


@pytest.fixture(scope='module')
def file(tmp_path_factory):
  network = architecture.network_config(
    backbone='wide_resnet28_2', stem='cifar'
  )
  network.classifier.classes = 3
  rng = np.random.default_rng(0)
  state = {
    name: torch.from_numpy(rng.random(entry.torch_shape(), np.float32))
    for entry in torch_mapping.make_table(network, ('classifier',))
    for name in entry.torch_names
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


def test_what_is_imported_is_what_the_file_has(tmp_path, file):
  out = tmp_path / 'imported'
  found = load.import_file(file)
  assert found.left_out == ('queue',)
  weights_dir.write(
    out, found.weights._replace(class_names=('cat', 'dog', 'owl'))
  )
  weights = load.load(out)
  assert weights.class_names == ('cat', 'dog', 'owl')
  assert weights.heads == ('classifier',)
  for have, want in zip(weights[1:3], found.weights[1:3], strict=True):
    jax.tree.map(np.testing.assert_array_equal, have, want)


@pytest.mark.slow
def test_imports_and_says_what(tmp_path, file):
  out = tmp_path / 'imported'
  done = _run(file, f'--out={out}', _names(tmp_path, 'cat', 'dog', 'owl'))
  assert done.returncode == 0, done.stderr
  (line,) = done.stdout.splitlines()
  assert line == (
    f"{out}: wide_resnet28_2 x1, cifar stem, padding 'torch',"
    ' bilinear 32/32, mean 0.4914 0.4822 0.4465, std 0.2023 0.1994 0.201,'
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
  _assert_bad(_run(file, f'--out={out}'), 'already holds weights')
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
    (['x.pth', '--out=x'], 'not found'),
    (['x.pth', '--uot=x'], 'uot'),
    ([__file__, '--out=x'], 'not a PyTorch file'),
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


@pytest.fixture
def parsed(monkeypatch):
  monkeypatch.setitem(vars(flags.FLAGS), '__flags_parsed', True)


@pytest.mark.usefixtures('parsed')
@pytest.mark.parametrize(
  ('flag', 'value', 'said'),
  [
    ('interpolation', 'nearest', '--interpolation=nearest must be one of'),
    ('resize', 0, '--resize=0 must be a whole number'),
    ('crop', 33, '--crop=33 must be at most resize=32'),
    ('mean', ['0.5', '0.5'], '--mean=0.5,0.5 must be three numbers'),
    ('mean', ['0.5', 'x', '1'], '--mean=0.5,x,1 must be three numbers'),
    ('std', ['1', '0', '1'], '--std=1.0,0.0,1.0 must be three positive'),
    ('std', ['1', 'nan', '1'], '--std=1.0,nan,1.0 must be three positive'),
  ],
)
def test_a_wrong_correction_is_one_sentence(file, flag, value, said):
  found = load.import_file(file)
  with (
    flagsaver.flagsaver(**{flag: value}),
    pytest.raises(WeightsError, match=said) as caught,
  ):
    import_weights._with_preprocessing(found, import_weights._overrides())
  assert '\n' not in str(caught.value)


@pytest.mark.usefixtures('parsed')
def test_flags_correct_how_images_are_prepared(file):
  found = load.import_file(file)
  assert import_weights._with_preprocessing(found, {}) == found
  with flagsaver.flagsaver(
    interpolation='bicubic', resize=40, crop=36, std=['1', '2', '3']
  ):
    made = import_weights._with_preprocessing(
      found, import_weights._overrides()
    )
  assert made.weights.preprocessing == found.weights.preprocessing._replace(
    interpolation='bicubic', resize=40, crop=36, std=(1.0, 2.0, 3.0)
  )
  assert (
    'bicubic 40/36, mean 0.4914 0.4822 0.4465, std 1.0 2.0 3.0'
    in import_weights.describe(made)
  )
