"""Work in this process or in several."""

import logging
import os

import pytest

from semppl_jax.runtime import worker_pool


def square(x: int, parent: int) -> tuple[int, bool]:
  return x * x, os.getpid() == parent


def kill_worker() -> None:
  os._exit(9)


@pytest.mark.parametrize('processes', [1, 2])
def test_results_come_in_the_order_of_the_work(processes, caplog):
  caplog.set_level(logging.INFO)
  work = [(x, os.getpid()) for x in range(3)]
  results = worker_pool.run(square, work, [1, 2, 3], processes)
  assert results == [(x * x, processes == 1) for x in range(3)]
  assert caplog.messages[-1].startswith('6 of 6 images')
  assert worker_pool.run(square, [], [], processes) == []


def test_a_worker_that_dies_is_one_sentence():
  with pytest.raises(worker_pool.WorkerError, match='take fewer --workers'):
    worker_pool.run(kill_worker, [(), ()], [1, 1], 2)
