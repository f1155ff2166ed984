"""Exports end to end: what is under a name is whole, right and described."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from semppl_jax.exchange import (
  export,
  inference,
  metadata,
  to_stablehlo,
  weights_dir,
)
from semppl_jax.models.weights import WeightsError
from tests.helpers import random_weights

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def weights():
  return random_weights.make()


@pytest.fixture
def cheap(monkeypatch):
  """A format whose file is the shape of its images, and networks of sums."""

  class Cheap:
    TOLERANCE = 1e-3
    error = 0.0

    def check(self, weights, heads):
      del weights, heads

    def write(self, path, weights, heads):
      del weights, heads
      path.write_text('whole')

    def read_back(self, path):
      assert path.read_text() == 'whole'
      assert metadata.read(path)['format'] == 'stablehlo'
      return lambda images: {
        name: value * (1 + self.error) for name, value in _sums(images).items()
      }

  made = Cheap()
  monkeypatch.setattr(export, 'load_format', lambda name: made)
  monkeypatch.setattr(inference, 'make_host_fn', lambda weights, heads: _sums)
  return made


def _sums(images):
  return {'features': images.sum((1, 2), dtype=np.float32)}


def test_a_file_and_what_is_beside_it(weights, tmp_path):
  out = tmp_path / 'encoder'
  parity = export.export(weights, 'stablehlo', out, ('classifier', 'projector'))
  assert set(parity.difference) == {'features', 'projection', 'logits'}
  assert max(parity.difference.values()) <= 1e-5
  assert parity.images == '64 images of noise'
  summary = export.describe(parity)
  assert 'largest difference over 64 images of noise: features' in summary
  assert 'logits' in summary and 'projection' in summary
  assert sorted(x.name for x in tmp_path.iterdir()) == [
    'encoder',
    'encoder.json',
  ]
  content = json.loads((tmp_path / 'encoder.json').read_text())
  assert content['class_names'] == list(weights.class_names)
  assert content['preprocessing']['mean'] == list(weights.preprocessing.mean)
  assert content['input']['shape'] == ['B', 32, 32, 3]
  assert content['heads'] == ['projector', 'classifier']
  assert content['outputs'] == {
    'features': ['B', 128],
    'projection': ['B', 8],
    'logits': ['B', 5],
  }
  assert content['padding'] == 'torch'
  assert content['measured']['tolerance'] == to_stablehlo.TOLERANCE
  images = random_weights.images(weights, 2)
  random_weights.assert_exact(
    to_stablehlo.read_back(out)(images),
    random_weights.slow(weights, ('projector', 'classifier'), images),
  )


def test_over_the_tolerance_there_is_no_file(weights, cheap, tmp_path):
  cheap.error = 2e-3
  with pytest.raises(export.ParityError, match=r'features 2\.0e-03'):
    export.export(weights, 'stablehlo', tmp_path / 'out')
  assert not list(tmp_path.iterdir())
  cheap.error = 5e-4
  export.export(weights, 'stablehlo', tmp_path / 'out')


@pytest.mark.parametrize(
  'error', [np.nan, np.inf], ids=['not a number', 'infinite']
)
def test_outputs_that_are_no_numbers_differ(weights, cheap, tmp_path, error):
  cheap.error = error
  with pytest.raises(export.ParityError):
    export.export(weights, 'stablehlo', tmp_path / 'out')
  assert not list(tmp_path.iterdir())


def test_a_missing_output_is_a_difference():
  original = lambda images: _sums(images) | {'logits': np.ones((8, 2))}
  images = np.zeros((8, 4, 4, 3), np.uint8)
  with pytest.raises(export.ParityError, match='logits'):
    export.compare(original, _sums, images)


@pytest.mark.parametrize('error', [KeyboardInterrupt, OSError])
@pytest.mark.parametrize('at', ['write', 'read_back'])
def test_what_is_stopped_leaves_nothing(
  weights, cheap, monkeypatch, tmp_path, error, at
):
  def stop(path, *_):
    path.write_text('half')
    raise error

  monkeypatch.setattr(cheap, at, stop)
  with pytest.raises(error):
    export.export(weights, 'stablehlo', tmp_path / 'out')
  assert not list(tmp_path.iterdir())


def test_only_an_export_is_replaced_and_only_if_asked(weights, cheap, tmp_path):
  out = tmp_path / 'out'
  export.export(weights, 'stablehlo', out)
  with pytest.raises(WeightsError, match='--overwrite'):
    export.export(weights, 'stablehlo', out)
  export.export(weights, 'stablehlo', out, overwrite=True)
  # A failure leaves the earlier export alone.
  cheap.error = 1.0
  with pytest.raises(export.ParityError):
    export.export(weights, 'stablehlo', out, overwrite=True)
  assert out.read_text() == 'whole'
  assert metadata.read(out)['measured']
  # A folder of somebody's is no export.
  folder = tmp_path / 'photos'
  folder.mkdir()
  with pytest.raises(WeightsError, match='not an export'):
    export.export(weights, 'stablehlo', folder, overwrite=True)


def test_a_directory_is_replaced_as_a_whole(
  weights, cheap, monkeypatch, tmp_path
):
  def write(path, weights, heads):
    path.mkdir()
    (path / weights.origin).write_text('')

  monkeypatch.setattr(cheap, 'write', write)
  monkeypatch.setattr(cheap, 'read_back', lambda path: _sums)
  out = tmp_path / 'out'
  for origin in ('one', 'two'):
    export.export(
      weights._replace(origin=origin), 'stablehlo', out, overwrite=True
    )
  assert [x.name for x in out.iterdir()] == ['two']
  assert len(list(tmp_path.iterdir())) == 2


def test_bad_input_is_one_sentence_and_computes_nothing(
  weights, monkeypatch, tmp_path
):
  monkeypatch.setattr(jax, 'jit', None)
  out = tmp_path / 'out'
  encoder = weights._replace(
    params={k: v for k, v in weights.params.items() if 'class' not in k}
  )
  cases = [
    (weights, 'onxx', out, (), "did you mean 'onnx'"),
    (
      weights,
      'onnx',
      tmp_path / 'gone' / 'out',
      (),
      'gone not found',
    ),
    (encoder, 'onnx', out, ('classifier',), 'its heads: projector, predictor'),
    (weights, 'onnx', out, ('projection',), "Did you mean 'projector'"),
    (weights, 'features', out, (), 'has no data'),
  ]
  for given, format_name, place, heads, said in cases:
    with pytest.raises(WeightsError, match=said):
      export.export(given, format_name, place, heads)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('name', export.FORMATS)
def test_every_format_has_what_a_format_has(name):
  form = export.load_format(name)
  assert 0 < form.TOLERANCE <= 1e-4
  for function in (form.check, form.write, form.read_back):
    assert callable(function)


def _start(*arguments):
  environment = os.environ | {
    'JAX_PLATFORMS': 'cpu',
  }
  return subprocess.run(
    [sys.executable, '-m', 'semppl_jax.export', *arguments],
    cwd=ROOT,
    env=environment,
    capture_output=True,
    text=True,
    check=False,
  )


@pytest.mark.slow
def test_the_program_compares_on_the_runs_own_images(weights, tmp_path):
  checkpoint, out = tmp_path / 'weights', tmp_path / 'encoder'
  weights_dir.write(checkpoint, weights)
  done = _start(
    f'--checkpoint={checkpoint}',
    '--format=stablehlo',
    f'--out={out}',
    '--heads=classifier',
    '--config=configs/quickstart.py',
  )
  assert done.returncode == 0, done.stderr
  assert 'largest difference over 64 images of embedded/test' in done.stdout
  assert 'logits' in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
  ('arguments', 'said'),
  [
    ((), '--checkpoint, --format and --out are needed'),
    (('--chekpoint=x',), 'Did you mean: checkpoint'),
    (('--checkpoint=x', 'y'), "unknown flag 'y'"),
    (
      ('--checkpoint=gone', '--format=onnx', '--out=x'),
      'gone not found',
    ),
  ],
)
def test_a_mistake_on_the_command_line_is_a_sentence(arguments, said):
  done = _start(*arguments)
  assert done.returncode == 2
  assert said in done.stderr
  assert 'Traceback' not in done.stderr


@pytest.mark.slow
def test_a_stopped_program_leaves_nothing(weights, tmp_path):
  checkpoint, place = tmp_path / 'weights', tmp_path / 'place'
  weights_dir.write(checkpoint, weights)
  place.mkdir()
  process = subprocess.Popen(
    [
      *(sys.executable, '-m', 'semppl_jax.export', '--format=onnx'),
      *(f'--checkpoint={checkpoint}', f'--out={place / "encoder"}'),
    ],
    cwd=ROOT,
    env=os.environ | {'JAX_PLATFORMS': 'cpu'},
    stderr=subprocess.PIPE,
    text=True,
  )
  deadline = time.monotonic() + 50
  while not list(place.iterdir()) and time.monotonic() < deadline:
    time.sleep(0.02)
  assert list(place.iterdir())
  process.send_signal(signal.SIGTERM)
  _, errors = process.communicate(timeout=50)
  assert process.returncode == 1
  assert 'semppl_jax: Stopped at once. No file was written.' in errors
  assert not list(place.iterdir())


@pytest.mark.usefixtures('cheap')
def test_what_is_stopped_before_it_has_a_name_is_gone(weights, tmp_path):
  def stopped():
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    export.export(weights, 'stablehlo', tmp_path / 'out', before_naming=stopped)
  assert not list(tmp_path.iterdir())


def _snapshot(folder):
  return {x.name: x.read_text() for x in folder.iterdir()}


def _fail_move(monkeypatch, at, error):
  """The move number `at` from now on, counted from 0, raises."""
  moves, replace = [], pathlib.Path.replace

  def failing(path, target):
    moves.append(path)
    if len(moves) == at + 1:
      raise error
    return replace(path, target)

  monkeypatch.setattr(pathlib.Path, 'replace', failing)


@pytest.mark.parametrize('at', range(4))
@pytest.mark.parametrize('error', [KeyboardInterrupt, OSError])
def test_a_failed_overwrite_leaves_the_earlier_export(
  weights, cheap, monkeypatch, tmp_path, at, error
):
  out = tmp_path / 'out'
  export.export(weights._replace(origin='one'), 'stablehlo', out)
  before = _snapshot(tmp_path)
  _fail_move(monkeypatch, at, error)
  with pytest.raises(error):
    export.export(weights, 'stablehlo', out, overwrite=True)
  assert _snapshot(tmp_path) == before
  assert json.loads(before['out.json'])['origin'] == 'one'


@pytest.mark.parametrize('at', range(2))
def test_a_failed_export_leaves_nothing(
  weights, cheap, monkeypatch, tmp_path, at
):
  _fail_move(monkeypatch, at, OSError)
  with pytest.raises(OSError):
    export.export(weights, 'stablehlo', tmp_path / 'out')
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
  'text',
  [
    '',
    '[]',
    '{"images": 3}',
    '{"format": "onnx", "measured": null}',
    '{"format": "onnx", "measured": {"difference": {}}}',
    '{"format": "coco", "measured": {"difference": {"features": 0.0}}}',
    '[' * 100_000,
  ],
  ids=range(7),
)
@pytest.mark.parametrize('alone', [False, True])
def test_another_json_beside_it_makes_no_export(
  weights, cheap, tmp_path, text, alone
):
  out = tmp_path / 'photos'
  (tmp_path / 'photos.json').write_text(text)
  if not alone:
    out.write_text('mine')
  before = _snapshot(tmp_path)
  with pytest.raises(WeightsError, match='is not an export'):
    export.export(weights, 'stablehlo', out, overwrite=True)
  assert _snapshot(tmp_path) == before


def test_a_side_file_alone_is_replaced(weights, cheap, tmp_path):
  out = tmp_path / 'out'
  export.export(weights, 'stablehlo', out)
  out.unlink()
  export.export(weights, 'stablehlo', out, overwrite=True)
  assert out.read_text() == 'whole'


@pytest.mark.parametrize('value', [0.0, 3.0])
def test_features_without_spread_compare_with_nothing(
  weights, cheap, monkeypatch, tmp_path, value
):
  same = lambda images: {'features': np.full((len(images), 2), value)}
  monkeypatch.setattr(inference, 'make_host_fn', lambda weights, heads: same)
  monkeypatch.setattr(cheap, 'read_back', lambda path: same)
  with pytest.raises(WeightsError, match='same features for all 64'):
    export.export(weights, 'stablehlo', tmp_path / 'out')
  assert not list(tmp_path.iterdir())
