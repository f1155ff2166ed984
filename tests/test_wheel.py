"""The wheel: what it holds, and a run from it outside of the checkout."""

import os
import pathlib
import shutil
import subprocess
import sys
import venv
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
QUICK = ['--config.duration=2 steps', '--config.optimizer.warmup=1 steps',
         '--config.data.limit=200',
         '--config.data.labels=per_class:4', '--config.eval.every=0 steps',
         '--config.eval.baselines=False', '--noreport']  # fmt: skip


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
  out, source = (tmp_path_factory.mktemp(x) for x in ('wheel', 'source'))
  # A copy, since a build leaves files beside its source.
  skipped = shutil.ignore_patterns('__pycache__')
  for name in ('semppl_jax', 'configs'):
    shutil.copytree(ROOT / name, source / name, ignore=skipped)
  for name in ('pyproject.toml', 'setup.py', 'requirements.txt', 'README.md',
               'LICENSE'):  # fmt: skip
    shutil.copy(ROOT / name, source)
  # What the environment has builds it: nothing is downloaded.
  done = subprocess.run(
    [
      *(sys.executable, '-m', 'build', '--wheel', '--no-isolation'),
      *('--skip-dependency-check', '--outdir', str(out), str(source)),
    ],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stdout + done.stderr
  [file] = out.glob('*.whl')
  return file


@pytest.mark.slow
def test_it_holds_the_package_alone(wheel):
  names = zipfile.ZipFile(wheel).namelist()
  assert {name.split('/')[0].split('-')[0] for name in names} == {'semppl_jax'}
  for name in (
    'semppl_jax/configs/base.py',
    'semppl_jax/configs/evaluate/base.py',
    'semppl_jax/data/embedded/train.tfrecord',
    'semppl_jax/data/embedded/sign_digits/train.tfrecord',
    'semppl_jax/data/embedded/sign_digits/LICENSE',
    'semppl_jax/report/page.css',
    'semppl_jax/report/page.html',
    'semppl_jax/py.typed',
  ):
    assert name in names
  package = {
    str(path.relative_to(ROOT)) for path in ROOT.glob('semppl_jax/**/*.py')
  }
  assert package <= set(names)


@pytest.mark.slow
def test_it_trains_the_quick_start_outside_of_the_checkout(wheel, tmp_path):
  """Beside another package called `configs`, which stays as it is."""
  venv.create(tmp_path / 'venv', with_pip=False)
  [packages] = (tmp_path / 'venv').glob('lib/python*/site-packages')
  zipfile.ZipFile(wheel).extractall(packages)
  # Its dependencies are those of this environment, without the checkout.
  (packages / 'dependencies.pth').write_text(
    '\n'.join(x for x in sys.path if x.endswith('site-packages')) + '\n'
  )
  (packages / 'configs').mkdir()
  (packages / 'configs' / '__init__.py').write_text('theirs = True\n')
  (packages / 'configs' / 'base.py').write_text('theirs = True\n')
  (tmp_path / 'elsewhere').mkdir()
  environment = {
    name: value for name, value in os.environ.items() if name != 'PYTHONPATH'
  }
  done = subprocess.run(
    [
      *(tmp_path / 'venv/bin/python', '-m', 'semppl_jax.main'),
      *('--config=configs/quickstart.py', '--workdir=run', *QUICK),
    ],
    cwd=tmp_path / 'elsewhere',
    env=environment | {'JAX_PLATFORMS': 'cpu'},
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  assert (tmp_path / 'elsewhere/run/summary.json').exists()
