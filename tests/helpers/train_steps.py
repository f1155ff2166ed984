"""The batches of a train set, as a run takes them."""

import itertools

import jax
import numpy as np
import pytest

from semppl_jax.data import labels, masks, pipeline

# For tests that take long: of the two, one is left to the long tests.
KINDS = (pytest.param('folder', marks=pytest.mark.slow), 'tfrecord')


def steps(config, count, start=0, process=(0, 1), support=False):
  """`count` batches from step `start`, of process (index, count)."""
  train = masks.load(config).train
  batches = pipeline.train_batches(
    config,
    train,
    labels.select(config.data, train),
    start_step=start,
    process_index=process[0],
    process_count=process[1],
    support=support,
  )
  return list(itertools.islice(batches, count))


def assert_same(a, b):
  for x, y in zip(a, b, strict=True):
    np.testing.assert_array_equal(x.corrupt, y.corrupt)
    assert x.unmasked == y.unmasked
    jax.tree.map(_assert_equal, x.batch, y.batch)


def _assert_equal(left, right):
  assert left.dtype == right.dtype
  np.testing.assert_array_equal(left, right)


def joined(parts):
  """Global batches out of those of the processes."""
  return [
    pipeline.HostBatch(
      jax.tree.map(lambda *x: np.concatenate(x), *(p.batch for p in step)),
      np.concatenate([p.corrupt for p in step]),
      None if step[0].unmasked is None else sum(p.unmasked for p in step),
    )
    for step in zip(*parts, strict=True)
  ]
