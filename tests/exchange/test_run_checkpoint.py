"""The network of a run, from its checkpoints."""

import jax
import numpy as np
import pytest

from semppl_jax.exchange import run_checkpoint
from semppl_jax.models.weights import WeightsError
from semppl_jax.training import loop
from tests.helpers import tiny


@pytest.fixture(scope='module')
def run(images, tmp_path_factory):
  """A run of four steps with checkpoints at two and four."""
  path = tmp_path_factory.mktemp('run') / 'run'
  config = tiny.config(images, 4, 'supervised')
  config.checkpoint.update(every='2 steps', keep=2)
  loop.run(config, path, jax.devices()[:1])
  return path


def test_the_newest_checkpoint_is_read_or_the_one_that_is_named(run):
  newest = run_checkpoint.read(run)
  assert newest.origin == f'step 4 of {run}'
  assert newest.class_names == tiny.CLASSES
  same = run_checkpoint.read(run / 'checkpoints' / '4')
  tiny.assert_same(same.params, newest.params)
  older = run_checkpoint.read(run / 'checkpoints' / '2')
  assert older.origin == f'step 2 of {run}'
  differs = [
    (x != y).any()
    for x, y in zip(
      jax.tree.leaves(older.params), jax.tree.leaves(newest.params), strict=True
    )
  ]
  assert all(isinstance(x, np.bool_) for x in differs) and any(differs)


def test_runs_and_their_checkpoints_are_recognized(run, tmp_path):
  assert run_checkpoint.is_run(run)
  assert run_checkpoint.is_run(run / 'checkpoints' / '2')
  assert not run_checkpoint.is_run(tmp_path)


def test_no_checkpoint_is_one_sentence(tmp_path):
  (tmp_path / 'checkpoints').mkdir()
  with pytest.raises(WeightsError, match='has no checkpoint yet'):
    run_checkpoint.read(tmp_path)
  broken = tmp_path / 'checkpoints' / '3'
  (broken / 'state').mkdir(parents=True)
  with pytest.raises(WeightsError, match='3 is not a complete checkpoint'):
    run_checkpoint.read(tmp_path)


def test_fields_of_older_runs_are_completed():
  config = run_checkpoint.run_config(
    {'batch_size': 7, 'a.field.of.the.past': 1, 'augment.mean': [0.1, 0.2, 0.3]}
  )
  assert config.batch_size == 7
  assert config.augment.mean == (0.1, 0.2, 0.3)
  assert config.network.remat == 'none'
