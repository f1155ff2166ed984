"""A run, masks and an index of version 0.1.0 load, and the run continues."""

import json
import os
import pathlib
import shutil

import jax
import numpy as np
import pytest

from semppl_jax.exchange import load
from semppl_jax.report import build
from semppl_jax.training import loop
from tests.helpers import tiny

GOLDEN = pathlib.Path(__file__).parents[1] / 'golden' / 'run_0_1_0'
# The index of a record file is found by its name, size and time.
MODIFIED = 1_700_000_000


@pytest.fixture
def old(tmp_path, monkeypatch):
  """A copy of the run, which was stopped after step 5 of 8."""
  shutil.copytree(GOLDEN, tmp_path, dirs_exist_ok=True)
  for file in tmp_path.rglob('*.tfrecord'):
    os.utime(file, (MODIFIED, MODIFIED))
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv('SEMPPL_JAX_CACHE', str(tmp_path / 'cache'))
  return tmp_path


def _config():
  config = tiny.config(pathlib.Path(), 8)
  config.data.update(
    kind='tfrecord',
    path='train.tfrecord',
    test_path='test.tfrecord',
    saliency='masks',
  )
  config.saliency.probability = 0.5
  config.checkpoint.keep = 1
  return config


def _records(file):
  lines = [json.loads(line) for line in file.read_text().splitlines()]
  return [line for line in lines if line['step'] > 5]


@pytest.mark.slow
def test_it_continues_with_its_masks_and_index(old):
  indices = {path.name: path.stat().st_mtime_ns for path in old.glob('cache/*')}
  summary = loop.run(_config(), 'run', jax.devices()[:1])
  assert summary and summary['steps'] == 8
  got, want = (
    _records(old / 'run/metrics.jsonl'),
    _records(old / 'expected.jsonl'),
  )
  # The first record after a start has none.
  timing = {'images_per_second', 'input_wait'}
  for a, b in zip(got, want, strict=True):
    assert a.keys() - timing == b.keys() - timing
    for name in b.keys() - timing:
      np.testing.assert_allclose(a[name], b[name], rtol=1e-3, err_msg=name)
  # Neither was read again.
  after = {path.name: path.stat().st_mtime_ns for path in old.glob('cache/*')}
  assert after == indices


def test_its_weights_load(old):
  weights = load.load('run')
  assert weights.class_names and 'step 5' in weights.origin


@pytest.mark.slow
def test_its_report_is_written(old):
  build.write(['run'], old / 'page.html')
  assert 'run' in (old / 'page.html').read_text()
