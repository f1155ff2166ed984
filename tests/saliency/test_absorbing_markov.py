"""Absorbing Markov chains by hand, by series and by walking."""

import numpy as np
import pytest

from semppl_jax.saliency import absorbing_markov, graph
from tests.helpers.scenes import random_scene


def test_a_fair_coin_is_tossed_twice():
  got = absorbing_markov.absorbed_time(np.array([[0.5]]), np.array([0.5]))
  np.testing.assert_allclose(got, [2])


def test_the_inner_of_two_by_hand():
  # The inner steps out or stays, the outer ends, steps in or stays:
  # t0 = 1 + t0 / 2 + t1 / 2 and t1 = 1 + t0 / 4 + t1 / 4.
  stay = np.array([[0.5, 0.5], [0.25, 0.25]])
  got = absorbing_markov.absorbed_time(stay, np.array([0, 0.5]))
  np.testing.assert_allclose(got, [5, 3])


@pytest.mark.parametrize('seed', range(3))
def test_time_is_the_sum_of_the_probabilities_to_be_left(seed):
  stay, end = absorbing_markov.chain(random_scene(seed).superpixels)
  np.testing.assert_allclose(stay.sum(axis=1) + end, 1, rtol=1e-12)
  # Σ_k Q^k 1, doubling the number of terms each time.
  total, power = np.eye(len(end)), stay
  for _ in range(40):
    total, power = total + total @ power, power @ power
  got = absorbing_markov.absorbed_time(stay, end)
  np.testing.assert_allclose(got, total.sum(axis=1), rtol=1e-6)


def test_the_chain_is_that_of_the_paper_in_loops():
  superpixels = random_scene(0).superpixels
  color = superpixels.color.astype(float)
  rim = superpixels.rim.any(axis=0)
  linked = graph.links(superpixels)
  stay, end = absorbing_markov.chain(superpixels)
  for i in range(20):
    weight, double = np.zeros(20), np.zeros(20)
    for j in range(20):
      if linked[i, j] or i == j:
        weight[j] = np.exp(-np.linalg.norm(color[i] - color[j]) / 3) + 1e-3
        double[j] = weight[j] if rim[j] else 0
    total = weight.sum() + double.sum()
    np.testing.assert_allclose(stay[i], weight / total, rtol=1e-5)
    np.testing.assert_allclose(end[i], double.sum() / total, rtol=1e-5)


def test_a_walk_from_the_inside_takes_longest():
  time = absorbing_markov.absorption(random_scene(2))
  inner = [6, 7, 8, 11, 12, 13]
  assert (time >= 1).all()
  assert set(np.argsort(time)[-4:]) <= set(inner)
