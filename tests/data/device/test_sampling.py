"""Rows of a step: every image once an epoch, in an order of its own."""

import functools

import hypothesis
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from semppl_jax.data.device import sampling

KEY = jax.random.key(5)


def _epochs(population, steps, count, key=KEY):
  at = jax.jit(functools.partial(sampling.epochs, rows=count))
  population = jnp.asarray(population, jnp.int32)
  return np.stack(
    [at(key, population, jnp.asarray(n, jnp.int32)) for n in steps]
  )


@hypothesis.given(st.integers(1, 12), st.integers(1, 30), st.integers(0, 99))
@hypothesis.settings(max_examples=20, deadline=None)
def test_every_epoch_has_each_image_once(size, count, first):
  population = 3 * np.arange(size) + 1
  steps = range(first, first + 2 * size)
  found = _epochs(population, steps, count).reshape(-1)
  # The first whole epoch after the first step's.
  skip = -(first * count) % size
  for epoch in found[skip : skip + size * (len(found[skip:]) // size)].reshape(
    -1, size
  ):
    np.testing.assert_array_equal(np.sort(epoch), population)


@pytest.mark.parametrize(('size', 'count'), [(10, 4), (3, 8)])
def test_a_step_is_what_it_is_whatever_came_before(size, count):
  straight = _epochs(np.arange(size), range(20), count)
  np.testing.assert_array_equal(
    _epochs(np.arange(size), [13, 7, 19], count), straight[[13, 7, 19]]
  )
  other = _epochs(np.arange(size), range(20), count, jax.random.key(6))
  assert (other != straight).any()


def test_epochs_differ_and_places_are_even():
  found = _epochs(np.arange(6), range(3000), 6)
  assert len({tuple(x) for x in found}) > 600  # Of 720 orders.
  counts = np.stack([np.bincount(x, minlength=6) for x in found.T])
  assert np.abs(counts - 500).max() < 100


def _support(table, counts, steps, **sizes):
  at = jax.jit(functools.partial(sampling.support, **sizes))
  table, counts = (jnp.asarray(x, jnp.int32) for x in (table, counts))
  return np.stack(
    [at(KEY, table, counts, jnp.asarray(n, jnp.int32)) for n in steps]
  )


def test_support_images_are_distinct_by_class():
  # Image 10 c + n is the n-th of class c; class 2 has two alone.
  table = np.arange(4)[:, None] * 10 + np.arange(5)
  found = _support(table, [5, 4, 2, 5], range(400), classes=3, per_class=4)
  classes = found.reshape(-1, 3, 4) // 10
  assert (classes == classes[..., :1]).all()
  shown = classes[..., 0]
  assert all(len(set(x)) == 3 for x in shown)
  for own in found.reshape(-1, 4):
    if own[0] // 10 == 2:
      assert set(own) == {20, 21} and (own[:2] == own[2:]).all()
    else:
      assert len(set(own)) == 4
  assert 14 not in found and 22 not in found
  # Each class in three of four steps; each image of its class as often.
  counts = np.bincount(shown.ravel(), minlength=4)
  assert np.abs(counts - 300).max() < 40
  images = np.bincount(found.ravel(), minlength=35)
  assert np.abs(images[:5] - 240).max() < 50
  np.testing.assert_array_equal(
    _support(table, [5, 4, 2, 5], [17], classes=3, per_class=4)[0], found[17]
  )
