"""Updates that are not finite: they stop a run, or are skipped."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from semppl_jax.data import batch as batch_lib
from semppl_jax.runtime import errors
from semppl_jax.training import aot, experiment as experiment_lib, loop
from tests.helpers import tiny


def _infinite_from(step, monkeypatch):
  """Makes the loss of that step and of all later ones infinite."""
  make = experiment_lib.methods.make

  def broken(config, setting):
    method = make(config, setting)

    def loss(inputs):
      result = method.loss(inputs)
      late = inputs.step >= step
      return result._replace(loss=jnp.where(late, jnp.inf, result.loss))

    return dataclasses.replace(method, loss=loss)

  monkeypatch.setattr(experiment_lib.methods, 'make', broken)


@pytest.mark.parametrize(
  'method', ['semppl', pytest.param('paws', marks=pytest.mark.slow)]
)
def test_a_nonfinite_step_stops_the_run_and_can_be_replayed(
  images, tmp_path, monkeypatch, method
):
  config, devices = tiny.config(images, 8, method), jax.devices()[:1]
  _infinite_from(3, monkeypatch)
  with pytest.raises(errors.NonFiniteError) as error:
    loop.run(config, tmp_path, devices)
  at = int(str(error.value).split('Step ')[1].split(' ')[0])
  assert at == 4 and 'is not finite in loss/total' in str(error.value)
  saved, good = tiny.final_state(config, tmp_path, devices)
  assert 0 < saved < at and good.dropped == 0
  built = experiment_lib.build(config, devices)
  replay = tmp_path / 'nonfinite' / f'step_{at}'
  with ocp.StandardCheckpointer() as saver:
    state = saver.restore(replay / 'state', aot.abstract_state(built.step))
  assert state.step == at - 1
  batch = batch_lib.from_arrays(np.load(replay / 'batch_0.npz'))
  _, metrics = jax.jit(built.step.train)(state, batch)
  assert np.isinf(metrics['loss/total'])


@pytest.mark.slow
def test_skipping_nonfinite_updates_keeps_the_last_good_parameters(
  images, tmp_path
):
  config, devices = tiny.config(images, 5), jax.devices()[:1]
  config.optimizer.update(learning_rate=1e38, warmup='0 steps')
  config.on_nonfinite = 'skip'
  loop.run(config, tmp_path, devices)
  step, state = tiny.final_state(config, tmp_path, devices)
  assert step == 5 and state.dropped == 5
  start = experiment_lib.initial_state(experiment_lib.build(config, devices))
  tiny.assert_same(jax.device_get(start.params), state.params)
