"""What a step's time comes to, by numbers worked out by hand."""

import pytest

from semppl_jax.tools.compile import costs
from semppl_jax.tools.compile.costs import Scaled


def test_epochs_per_hour_and_core_hours_by_hand():
  # 10 steps a second of 100 images: 3.6 million images an hour.
  assert costs.epochs_per_hour(100, 100, images=900_000) == pytest.approx(4)
  # 4,096 images in 122 ms: 33,573.77 a second, 120,865,574 an hour.
  assert costs.epochs_per_hour(122, 4096) == pytest.approx(94.3402, rel=1e-5)
  # 300 epochs take 3.17998 hours, of each of 128 cores.
  assert costs.core_hours(122, 4096, 128) == pytest.approx(407.037, rel=1e-5)
  assert costs.core_hours(122, 4096, 128, epochs=3) == pytest.approx(
    4.07037, rel=1e-5
  )


def _step(cores, batch_size, compute, communication):
  terms = {'compute': compute, 'communication': communication}
  return Scaled(cores, batch_size, terms)


def test_a_step_takes_as_long_as_its_longest_term():
  step = _step(8, 64, 3.0, 4.0)
  assert (step.ms, step.term) == (4.0, 'communication')
  assert costs.longest({'a': 1.0, 'b': 1.0}) == 'a'


def test_efficiency_of_strong_scaling_by_hand():
  # Four times the cores, half the time: half as many images each.
  first, second = _step(8, 64, 10, 1), _step(32, 64, 2, 5)
  assert costs.efficiency(first, first) == 1
  assert costs.efficiency(second, first) == pytest.approx(0.5)


def test_efficiency_of_weak_scaling_by_hand():
  # The same batch per core in 10 and then 12.5 ms.
  first, second = _step(8, 64, 10, 1), _step(32, 256, 10, 12.5)
  assert costs.efficiency(second, first) == pytest.approx(0.8)


def test_scaling_stops_below_a_half_and_not_at_it():
  steps = [_step(8, 64, 8, 1), _step(16, 64, 4, 8), _step(32, 64, 2, 9)]
  # 1, then 8 / (2 * 8) and 8 / (4 * 9).
  assert costs.stops(steps) == steps[2]
  assert costs.stops(steps[:2]) is None
  assert costs.stops(steps, least=0.6) == steps[1]
  assert costs.stops([]) is None
