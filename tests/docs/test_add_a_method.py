"""Runs the example of docs/add_a_method.md from its text."""

import importlib
import json
import pathlib
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import semppl_jax
from semppl_jax import methods
from semppl_jax.config import loading
from semppl_jax.config.constraints import RunDims
from semppl_jax.methods.base import Inputs, MethodContext
from semppl_jax.models.network import Outputs
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.training import loop

ROOT = pathlib.Path(semppl_jax.__file__).resolve().parent.parent
TEXT = (ROOT / 'docs' / 'add_a_method.md').read_text()
NO_DIMS = RunDims(1, 1, None, None, None)


@pytest.fixture
def files(tmp_path, monkeypatch):
  """Writes the two files of the document to a folder on the path."""
  names = re.findall(r'`(barlow_twins\w*\.py)`:', TEXT)
  blocks = re.findall(r'```python\n(.*?)```', TEXT, re.DOTALL)
  for name, block in zip(names, blocks, strict=True):
    (tmp_path / name).write_text(block)
  monkeypatch.syspath_prepend(tmp_path)
  importlib.invalidate_caches()
  return tmp_path


def test_the_example_is_short(files):
  lines = (files / 'barlow_twins.py').read_text().splitlines()
  config = (files / 'barlow_twins_quickstart.py').read_text().splitlines()
  assert len(lines) + len(config) <= 60


def _config(files):
  return loading.load(str(files / 'barlow_twins_quickstart.py'))


def test_the_loss_is_that_of_the_paper(files):
  method = methods.make(
    _config(files), MethodContext(mesh_lib.make_mesh(), 8, 80)
  )
  rng = np.random.default_rng(0)
  z = rng.normal(size=(8, 2, 3)).astype(np.float32)
  inputs = Inputs(
    Outputs(None, projection=jnp.asarray(z)), None, None, (), None, 0
  )
  got = method.loss(inputs).loss
  z = (z - z.mean(0)) / z.std(0)
  c = z[:, 0].T @ z[:, 1] / 8
  off = c - np.diag(np.diag(c))
  want = np.sum((1 - np.diag(c)) ** 2) + 5e-3 * np.sum(off**2)
  np.testing.assert_allclose(got, want, rtol=1e-3)


def test_bad_input_of_the_example_is_one_sentence(files):
  config = _config(files)
  config.views.small.count = 2
  config.barlow_twins.redundancy_weight = -1.0
  (sentence,) = methods.problems(config, NO_DIMS)
  assert 'redundancy_weight=-1.0 must be at least 0' in sentence
  config.barlow_twins.redundancy_weight = 1.0
  (sentence,) = methods.problems(config, NO_DIMS)
  assert "views.small.count=2 must be 0 where method='barlow_twins'" in sentence


def test_a_run_of_the_example_learns_and_evaluates(files):
  config = _config(files)
  config.batch_size, config.duration, config.log_every = 32, '6 steps', '1 step'
  config.data.update(limit=128, labels='per_class:4', labelled_per_batch=4)
  config.network.projector.update(hidden=16, output=8)
  config.views.large.size = config.eval.resize = config.eval.crop = 8
  config.optimizer.warmup = '1 step'
  config.eval.update(every='6 steps', baselines=False)
  config.checkpoint.every = '6 steps'
  summary = loop.run(config, files / 'run', jax.devices()[:2])
  assert summary['method'] == 'barlow_twins'
  assert 0 < summary['knn']['knn/projection/labelled/k20'] <= 1
  lines = (files / 'run' / 'metrics.jsonl').read_text().splitlines()
  losses = [
    line['loss/total']
    for line in map(json.loads, lines)
    if 'loss/total' in line
  ]
  chex.assert_tree_all_finite(losses)
  assert losses[-1] < losses[0]
