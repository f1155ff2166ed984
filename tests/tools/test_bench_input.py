"""What the stages of an input pipeline cost."""


import pytest

from configs import quickstart
from semppl_jax import job as job_lib
from semppl_jax.tools import input_stages


@pytest.fixture(scope='module')
def config():
  config = quickstart.get_config()
  config.batch_size = 16
  config.data.update(limit=200, labelled_per_batch=8, test_holdout=0.0)
  config.semppl.update(queue='64 rows', num_negatives=8)
  return config


@pytest.fixture(scope='module')
def costs(config):
  return input_stages.measure(job_lib.build(config), 0.05)


def test_every_stage_has_a_cost(costs):
  names = ['read', 'decode', 'crops, flips, masks', 'batch', 'transfer']
  assert [*costs] == names
  for cost in costs.values():
    assert cost.cpu > 0 and cost.wall > 0
    assert cost.images >= 3 * 16 and cost.images % 16 == 0


def test_decoding_costs_something(config, costs):
  alone = input_stages.decoding_alone(job_lib.build(config), 0.05)
  assert 0 < alone.wall < costs['crops, flips, masks'].wall * 10


def test_the_table_has_what_each_stage_adds():
  cost = input_stages.Cost
  made = {'read': cost(1e-3, 5e-4, 10), 'decode': cost(4e-3, 2e-3, 10)}
  assert input_stages.table(made).splitlines()[2:] == [
    '| read | 1.00 | 1.00 | 1,000 | 2,000 |',
    '| decode | 3.00 | 4.00 | 250 | 500 |',
  ]
