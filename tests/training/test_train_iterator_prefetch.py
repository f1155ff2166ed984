import itertools
import threading
import time

import pytest

from semppl_jax.training.train_iterator import Prefetcher


def test_everything_arrives_in_order_and_made():
  with Prefetcher(iter(range(20)), lambda x: x * 2, 3) as items:
    assert list(items) == list(range(0, 40, 2))
    assert list(items) == []


def test_no_more_than_depth_is_made_ahead():
  made = []
  with Prefetcher(itertools.count(), lambda x: made.append(x) or x, 2) as items:
    next(items)
    time.sleep(0.1)
    # One taken, two ready, one that waits for room.
    assert len(made) == 4


@pytest.mark.parametrize('in_make', [True, False])
def test_exceptions_reach_the_consumer_after_what_was_ready(in_make):
  def numbers():
    yield 1
    yield 2
    if not in_make:
      raise ValueError('no more images')

  def make(x):
    if in_make and x == 2:
      raise ValueError('no more images')
    return x

  items = Prefetcher(numbers(), make, 4)
  assert next(items) == 1
  with pytest.raises(ValueError, match='no more images'):
    list(items)
  with pytest.raises(StopIteration):
    next(items)
  items.close()


def test_waiting_is_counted():
  def slow():
    for _ in range(2):
      time.sleep(0.1)
      yield 0

  with Prefetcher(slow(), lambda x: x, 1) as items:
    next(items)
    assert 0.05 < items.waited < 0.5
    time.sleep(0.2)
    before = items.waited
    next(items)
    assert items.waited - before < 0.05


def test_close_stops_the_thread():
  items = Prefetcher(itertools.count(), lambda x: x, 2)
  next(items)
  items.close()
  items.close()
  assert not any(t.name == 'prefetch' for t in threading.enumerate())
  with pytest.raises(StopIteration):
    next(items)


def test_depth_is_checked():
  with pytest.raises(ValueError, match=r'prefetch=0 must be at least 1'):
    Prefetcher(iter(()), lambda x: x, 0)
