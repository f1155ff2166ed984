"""The queue against a plain list, whatever the device count."""

import functools

from hypothesis import given, settings, strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from semppl_jax.methods import memory_bank
from semppl_jax.runtime import mesh as mesh_lib

VIEWS, DIM = 2, 3


@functools.cache
def _mesh(devices):
  return mesh_lib.make_mesh(jax.devices()[:devices])


@functools.cache
def _empty(rows, mesh):
  init = lambda: memory_bank.empty(VIEWS, rows, DIM, jnp.float32)
  return jax.jit(init, out_shardings=memory_bank.sharding(mesh))()


def _batch(seed, size, labels):
  rng = np.random.default_rng(seed)
  return (
    rng.normal(size=(size, VIEWS, DIM)).astype(np.float32),
    np.asarray(labels, np.int32),
    rng.permutation(1000)[:size].astype(np.int32),
  )


def _contents(queue):
  """Rows oldest first, by the queue's own account of their age."""
  queue = jax.device_get(queue)
  age = np.asarray(memory_bank.age(queue))
  order = [s for s in np.argsort(-age) if age[s] < queue.size]
  return [
    (queue.label[s], queue.index[s], queue.embedding[:, s].tolist())
    for s in order
  ]


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_push_is_a_list_with_a_limit(data):
  devices = data.draw(st.sampled_from([1, 2, 4, 8]))
  rows = devices * data.draw(st.integers(1, 3))
  size = 8
  mesh = _mesh(devices)
  queue, model = _empty(rows, mesh), []
  push = jax.jit(memory_bank.push, static_argnames='mesh')
  for step in range(data.draw(st.integers(1, 4))):
    labels = data.draw(
      st.lists(st.integers(-1, 3), min_size=size, max_size=size)
    )
    embedding, label, index = _batch(step, size, labels)
    queue = push(queue, embedding, label, index, mesh=mesh)
    model += [
      (label[b], index[b], embedding[b].tolist())
      for b in range(size)
      if label[b] >= 0
    ]
    model = model[-rows:]
    assert _contents(queue) == model
    assert queue.size == len(model)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 100), devices=st.sampled_from([1, 2, 8]))
def test_take_reads_the_slots_of_each_view(seed, devices):
  mesh = _mesh(devices)
  rng = np.random.default_rng(seed)
  queue = _empty(16, mesh)
  embedding, label, index = _batch(seed, 16, np.arange(16))
  queue = jax.jit(memory_bank.push, static_argnames='mesh')(
    queue, embedding, label, index, mesh=mesh
  )
  slot = rng.integers(0, 16, (8, VIEWS, 3)).astype(np.int32)
  got = jax.jit(memory_bank.take, static_argnames='mesh')(
    queue, slot, mesh=mesh
  )
  for view in range(VIEWS):
    np.testing.assert_array_equal(
      got[:, view], np.asarray(queue.embedding)[view][slot[:, view]]
    )


def test_push_keeps_shape_type_and_sharding():
  mesh = _mesh(8)
  queue = _empty(16, mesh)
  after = jax.jit(
    memory_bank.push,
    static_argnames='mesh',
    out_shardings=memory_bank.sharding(mesh),
  )(queue, *_batch(0, 8, np.arange(8)), mesh=mesh)
  for old, new in zip(queue, after, strict=True):
    assert (old.shape, old.dtype) == (new.shape, new.dtype)
    assert old.sharding.is_equivalent_to(new.sharding, old.ndim)


@pytest.mark.parametrize('name', ['push', 'take'])
def test_no_collective_is_as_large_as_the_queue(name):
  """A gathered queue costs more than the whole step at paper size."""
  mesh = _mesh(8)
  rows = 4096
  queue = _empty(rows, mesh)
  if name == 'push':
    run = lambda q, *batch: memory_bank.push(q, *batch, mesh)
    arguments = _batch(0, 8, np.arange(8))
  else:
    run = lambda q, slot: memory_bank.take(q, slot, mesh)
    arguments = (np.zeros((8, VIEWS, 3), np.int32),)
  text = jax.jit(run).lower(queue, *arguments).compile().as_text()
  gathers = [
    line
    for line in text.splitlines()
    if 'all-gather' in line or 'all-reduce(' in line
  ]
  assert not [line for line in gathers if f'{rows},{DIM}' in line], gathers
