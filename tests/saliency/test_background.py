"""Robust background detection against plain loops and its own energy."""

import heapq

import numpy as np
import pytest

from semppl_jax.saliency import background as background_lib, graph
from tests.helpers.scenes import random_scene


def _plain_geodesic(steps, start):
  """Dijkstra, edge by edge."""
  best, heap = {}, [(0.0, start)]
  while heap:
    length, node = heapq.heappop(heap)
    if node not in best:
      best[node] = length
      for other in np.flatnonzero(np.isfinite(steps[node])):
        heapq.heappush(heap, (length + steps[node, other], int(other)))
  return [best[node] for node in range(len(steps))]


def test_connectivity_is_that_of_the_paper_in_loops():
  superpixels = random_scene(0).superpixels
  color = superpixels.color.astype(float)
  linked = graph.links(superpixels)
  regions = len(color)
  steps = np.full((regions, regions), np.inf)
  for i in range(regions):
    for j in range(regions):
      if linked[i, j]:
        steps[i, j] = max(np.linalg.norm(color[i] - color[j]) - 2, 0)
  got = background_lib.connectivity(superpixels)
  for i in range(regions):
    geodesic = _plain_geodesic(steps, i)
    area = sum(np.exp(-(d**2) / 200) for d in geodesic)
    length = sum(
      np.exp(-(d**2) / 200)
      for j, d in enumerate(geodesic)
      if superpixels.rim[:, j].any()
    )
    assert got[i] == pytest.approx(length / np.sqrt(area), rel=1e-5)


def test_contrast_is_that_of_the_paper_in_loops():
  superpixels = random_scene(1).superpixels
  background = np.random.default_rng(1).uniform(size=20)
  got = background_lib.background_contrast(superpixels, background)
  for i in range(20):
    want = 0.0
    for j in range(20):
      apart = np.linalg.norm(superpixels.color[i] - superpixels.color[j])
      place = np.linalg.norm(superpixels.place[i] - superpixels.place[j])
      want += apart * np.exp(-(place**2) / (2 * 0.25**2)) * background[j]
    assert got[i] == pytest.approx(want, rel=1e-5)


def _problem(seed):
  scene = random_scene(seed)
  rng = np.random.default_rng(seed)
  return (
    *rng.uniform(size=(2, 20)),
    background_lib.smoothness(scene.superpixels),
  )


def _energy(s, background, foreground, smooth):
  pairs = sum(
    smooth[i, j] * (s[i] - s[j]) ** 2 for i in range(20) for j in range(i)
  )
  return (
    5 * np.sum(background * s**2) + np.sum(foreground * (s - 1) ** 2) + pairs
  )


@pytest.mark.parametrize('seed', range(3))
def test_the_energy_has_no_slope_at_the_solution(seed):
  problem = _problem(seed)
  s = background_lib.optimize(*problem)
  assert (s >= 0).all() and (s <= 1).all()
  step = 1e-4
  for i in range(20):
    move = step * np.eye(20)[i]
    ahead, behind = (_energy(s + m, *problem) for m in (move, -move))
    assert (ahead - behind) / (2 * step) == pytest.approx(0, abs=1e-7)
    assert ahead > _energy(s, *problem) < behind


def test_no_foreground_is_no_saliency():
  background, _, smooth = _problem(0)
  assert not background_lib.optimize(background, np.zeros(20), smooth).any()
