"""Config files, overrides, and a sentence for each mistake."""

import os
import pathlib
import subprocess
import sys

from absl import flags
import pytest

from semppl_jax.config import loading

ROOT = pathlib.Path(__file__).resolve().parents[2]
QUICK = 'configs/quickstart.py'
PROGRAM = """
from semppl_jax.config import loading
from semppl_jax.runtime import cli
flag = loading.define_flag()
cli.start(
  lambda argv: print(flag.value.batch_size, argv[1:]), loading.parse_flags
)
"""


def test_overrides_of_every_kind():
  config = loading.load(
    QUICK,
    [
      'batch_size=64',
      'semppl.k=2',
      'semppl.exclude_self=false',
      'optimizer.learning_rate=1e-2',
      'augment.blur=(0.5,0.1)',
      'data.labels=per_class:3',
      'views.large.count=3',
    ],
  )
  assert config.is_locked
  assert (config.batch_size, config.semppl.k) == (64, 2)
  assert config.semppl.exclude_self is False
  assert config.optimizer.learning_rate == 0.01
  assert config.augment.blur == (0.5, 0.1)
  assert config.data.labels == 'per_class:3'
  assert config.views.large.count == 3


def test_one_load_does_not_change_the_next():
  before = loading.load(QUICK).batch_size
  loading.load(QUICK, [f'batch_size={2 * before}'])
  assert loading.load(QUICK).batch_size == before


@pytest.mark.parametrize(
  'override, message',
  [
    ('batchsize=256', r"has no field 'batchsize'; did you mean 'batch_size'\?"),
    ('views.larg.size=3', r"config\.views has no field 'larg'.*'large'"),
    ('zzz=1', r"no field 'zzz'; there are accumulate, augment, batch_size"),
    ('batch_size.x=1', r"batch_size has no field 'x'; it is a single value"),
    ('views=3', r'views is a group of fields.*flip, interpolation'),
    ('batch_size=abc', r"batch_size=abc.*'abc'"),
    ('batch_size=1.5', r"batch_size=1\.5.*'1\.5'"),
    ('semppl.exclude_self=maybe', 'exclude_self=maybe'),
  ],
)
def test_a_bad_override_is_one_sentence(override, message):
  with pytest.raises(loading.ConfigError, match=message) as error:
    loading.load(QUICK, [override])
  assert '\n' not in str(error.value)


def test_a_missing_file_tells_the_nearest():
  message = r"quikstart\.py not found; did you mean 'configs/quickstart\.py'\?"
  with pytest.raises(loading.ConfigError, match=message):
    loading.load('configs/quikstart.py')


def test_a_relative_path_works_from_any_directory(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert loading.load(QUICK).data.kind == 'embedded'


def test_a_file_of_ones_own_may_import_the_base(tmp_path):
  own = tmp_path / 'own.py'
  own.write_text(
    'from configs import quickstart\n\n\ndef get_config():\n'
    '  c = quickstart.get_config()\n  c.batch_size = 32\n  return c\n'
  )
  assert loading.load(own).batch_size == 32


def _program(tmp_path, *arguments):
  environment = os.environ | {'PYTHONPATH': str(ROOT)}
  return subprocess.run(
    [sys.executable, '-c', PROGRAM, *arguments],
    cwd=tmp_path,
    env=environment,
    capture_output=True,
    text=True,
    check=False,
  )


def _parse(*arguments, required=True):
  values = flags.FlagValues()
  argv = ['program', *arguments]
  config = loading.define_flag(values)
  rest = loading.parse_flags(argv, values, required=required)
  return config.value, rest


@pytest.mark.parametrize(
  'arguments',
  [[f'--config={QUICK}'], ['--config', QUICK], [f'-config={QUICK}']],
)
def test_a_config_may_be_named_in_three_ways(arguments):
  config, rest = _parse(*arguments)
  assert config == loading.load(QUICK)
  assert rest == ['program']


@pytest.mark.parametrize(
  'arguments, word',
  [
    ([f'--config={QUICK}', '--config.batchsize=256'], "'batch_size'"),
    (['--config=nothing.py'], r'nothing\.py not found'),
    ([f'--config={QUICK}', '--confg=1'], 'confg'),
    ([f'--config={QUICK}', 'config.batch_size=64'], 'unknown flag'),
    ([], '--config=FILE'),
  ],
)
def test_bad_flags_are_errors(arguments, word):
  with pytest.raises((loading.ConfigError, flags.Error), match=word):
    _parse(*arguments)


def test_a_config_may_be_optional():
  assert _parse(required=False) == (None, ['program'])
  config, _ = _parse(f'--config={QUICK}', required=False)
  assert config == loading.load(QUICK)
  with pytest.raises(loading.ConfigError, match='unknown flag'):
    _parse('x', required=False)


def test_a_command_reads_its_config(tmp_path):
  done = _program(tmp_path, f'--config={QUICK}', '--config.batch_size=64')
  assert done.stdout == '64 []\n', done.stderr
  assert done.returncode == 0


def test_a_command_stops_with_one_sentence(tmp_path):
  done = _program(tmp_path, '--config=nothing.py')
  assert done.returncode == 2
  assert done.stdout == ''
  assert done.stderr.startswith('semppl_jax: --config=nothing.py not found')
  assert len(done.stderr.splitlines()) == 1


def test_a_flat_config_is_what_json_reads_back():
  flat = loading.to_flat_dict(loading.load(QUICK))
  assert flat['augment.mean'] == [*flat['augment.mean']]
  assert flat['batch_size'] == loading.load(QUICK).batch_size
  assert flat['views.large.count'] == 2
