"""Checkpoints: which are kept, and what may not differ on a resume."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from semppl_jax.training.checkpoint import (
  BEST_METRIC,
  Checkpointer,
  Identity,
  MismatchError,
)


def _identity(**changes):
  known = dict(
    config={'seed': 0, 'log_every': '1 steps'},
    data='images',
    labels='subset',
    labelled=np.array(['cat/1.png', 'dog/2.png']),
  )
  return Identity(**(known | changes))


def _state(value):
  return {'w': jnp.full((4,), value, jnp.float32)}


LIKE = jax.tree.map(
  lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding),
  _state(0.0),
)


@pytest.fixture
def saved(tmp_path):
  """Five checkpoints, the second of them the best; two newest are kept."""
  checkpoints = Checkpointer(tmp_path, _identity(), keep=2)
  for step, score in ((1, 0.1), (2, 0.9), (3, 0.2), (4, None), (5, 0.3)):
    metrics = None if score is None else {BEST_METRIC: score}
    checkpoints.save(step, _state(step), metrics)
  checkpoints.close()
  return tmp_path


def test_the_newest_and_the_best_are_kept(saved):
  names = {p.name for p in (saved / 'checkpoints').iterdir() if p.is_dir()}
  assert names == {'2', '4', '5'}


def test_the_best_is_kept_over_a_restart(saved):
  checkpoints = Checkpointer(saved, _identity(), keep=2)
  assert checkpoints.evaluated(2) and not checkpoints.evaluated(4)
  for step in (6, 7, 8):
    checkpoints.save(step, _state(step), None)
  checkpoints.close()
  names = {p.name for p in (saved / 'checkpoints').iterdir() if p.is_dir()}
  assert names == {'2', '7', '8'}


def test_a_state_comes_back(saved):
  checkpoints = Checkpointer(saved, _identity(), keep=2)
  assert checkpoints.latest_step() == 5
  np.testing.assert_array_equal(checkpoints.restore(2, LIKE)['w'], [2.0] * 4)
  checkpoints.close()


@pytest.mark.parametrize(
  'changes, words',
  [
    (dict(config={'seed': 1}), 'seed was 0 and is 1'),
    (dict(data='others'), 'the train set holds other images'),
    (dict(masks='others'), r'the saliency masks \(data.saliency\) are others'),
    (
      dict(labels='others', labelled=np.array(['dog/2.png', 'new'])),
      r"another one \(1 .* lost their label: 'cat/1.png', 1 .*: 'new'\)",
    ),
  ],
)
def test_another_run_is_refused(saved, changes, words):
  checkpoints = Checkpointer(saved, _identity(**changes), keep=2)
  with pytest.raises(MismatchError, match=words):
    checkpoints.restore(5, LIKE)
  checkpoints.close()


@pytest.mark.parametrize('value, goes_on', [(False, True), (True, False)])
def test_a_field_that_was_added_since_was_at_its_default(saved, value, goes_on):
  fields = {'seed': 0, 'log_every': '1 steps', 'views.antialias': value}
  checkpoints = Checkpointer(saved, _identity(config=fields), keep=2)
  if goes_on:
    checkpoints.restore(5, LIKE)
  else:
    with pytest.raises(MismatchError, match=r'antialias was False and is True'):
      checkpoints.restore(5, LIKE)
  checkpoints.close()


def test_what_is_only_printed_may_differ(saved):
  other = _identity(config={'seed': 0, 'log_every': '9 steps'})
  checkpoints = Checkpointer(saved, other, keep=2)
  checkpoints.restore(5, LIKE)
  checkpoints.close()
