"""`--check`: the cost of a run, and all of its problems."""

import jax
import pytest

from semppl_jax.training import dry_run, experiment as experiment_lib
from tests.helpers import tiny


def test_cost_counts_the_parameters_and_the_state(images):
  config = tiny.config(images)
  experiment = experiment_lib.build(config, jax.devices()[:1])
  cost = dry_run.estimate(experiment)
  params = jax.eval_shape(experiment.step.init).params
  assert cost.parameters == sum(x.size for x in jax.tree.leaves(params))
  assert cost.steps == 8 and cost.epochs == 8 * 16 / 48
  # Parameters, their average without the predictor, and the momentum.
  assert 2 < cost.state_gib * 2**30 / (4 * cost.parameters) < 4
  assert cost.tflop > 0 and cost.hours > 0
  assert str(cost).split('\n')[0].split() == ['steps', '8', '(2.7', 'epochs)']


@pytest.mark.parametrize('problems', [('batch_size', -1), ('eval.crop', 0)])
def test_every_problem_is_named(images, problems):
  config = tiny.config(images)
  config.update_from_flattened_dict(dict([problems]) | {'seed': -1})
  text, good = dry_run.describe(config)
  assert not good
  for field in (problems[0], 'seed'):
    assert f'config.{field}' in text
