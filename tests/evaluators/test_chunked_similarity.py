"""Every labelled image meets every query once, in order, in bounded memory."""

import dataclasses

from hypothesis import given, settings, strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from semppl_jax.evaluators import chunked_similarity, knn_classifier, soft_nn
from semppl_jax.runtime import mesh as mesh_lib

GIB = 2**30


def _mesh(devices):
  return mesh_lib.make_mesh(jax.devices()[:devices])


@dataclasses.dataclass(frozen=True)
class _Journal:
  """Writes down all scores and labels, which no user at full size may."""

  places: int

  def init(self, queries):
    return (
      jnp.zeros((queries,), jnp.int32),
      jnp.full((queries, self.places), jnp.nan, jnp.float32),
      jnp.full((queries, self.places), -5, jnp.int32),
    )

  def fold(self, state, score, label):
    count, scores, labels = state
    start = (0, count[0])
    wide = jnp.broadcast_to(label, score.shape)
    return (
      count + jnp.sum(label >= 0, dtype=jnp.int32),
      jax.lax.dynamic_update_slice(scores, score, start),
      jax.lax.dynamic_update_slice(labels, wide, start),
    )


def _exact(rng, rows, dimension=4):
  """Rows whose unit vectors and their products have no rounding error."""
  signs = rng.choice([-1, 1], (rows, dimension))
  return (signs * 2.0 ** rng.integers(-3, 4, (rows, 1))).astype(np.float32)


@settings(max_examples=15, deadline=None)
@given(
  seed=st.integers(0, 10_000),
  queries=st.sampled_from([1, 13]),
  rows=st.integers(1, 40),
  hidden=st.sampled_from([0.0, 0.5]),
  devices=st.sampled_from([1, 8]),
  chunk_rows=st.sampled_from([1, 8, 64]),
  block=st.sampled_from([1, 3, 64]),
)
def test_all_scores_come_by_in_order(
  seed, queries, rows, hidden, devices, chunk_rows, block
):
  rng = np.random.default_rng(seed)
  query, support = _exact(rng, queries), _exact(rng, rows)
  label = rng.integers(0, 5, rows).astype(np.int32)
  label[1:][rng.random(rows - 1) < hidden] = -1
  known = label >= 0
  limits = chunked_similarity.Limits(2**20, chunk_rows, 4 * block * chunk_rows)
  count, scores, labels = chunked_similarity.reduce(
    query, support, label, _Journal(128), _mesh(devices), limits
  )
  total = known.sum()
  np.testing.assert_array_equal(count, np.full(queries, total))
  wanted = np.sign(query) @ np.sign(support[known]).T / 4
  np.testing.assert_array_equal(scores[:, :total], wanted)
  for row in labels:
    np.testing.assert_array_equal(row[:total], label[known])
    assert (row[total:] < 0).all()
  assert not np.isfinite(scores[:, total:]).any()


@settings(max_examples=200, deadline=None)
@given(
  queries=st.integers(1, 100_000),
  support=st.integers(1, 2_000_000),
  dimension=st.integers(1, 10_000),
  devices=st.sampled_from([1, 2, 8, 32]),
)
def test_parts_cover_everything_and_stay_within_their_limits(
  queries, support, dimension, devices
):
  limits = chunked_similarity.Limits()
  plan = chunked_similarity.layout(queries, support, dimension, devices, limits)
  assert plan.blocks % devices == plan.rows % devices == 0
  padding = plan.blocks * plan.block - queries
  assert 0 <= padding < devices + plan.blocks
  assert min(support, limits.chunk_rows) + devices > plan.rows
  assert (plan.rows - devices) * dimension * 4 < limits.chunk_bytes
  assert plan.block * plan.rows * 4 <= limits.score_bytes


def test_one_program_serves_all_chunks():
  traced = []

  @dataclasses.dataclass(frozen=True)
  class Counted(_Journal):
    def fold(self, state, score, label):
      traced.append(score.shape)
      return super().fold(state, score, label)

  rng = np.random.default_rng(0)
  query, limits = _exact(rng, 3), chunked_similarity.Limits(2**20, 8, 2**20)
  for rows in (8, 37):
    label = np.zeros(rows, np.int32)
    support = _exact(rng, rows)
    chunked_similarity.reduce(
      query, support, label, Counted(64), _mesh(1), limits
    )
    # Value alone makes two reductions one.
    assert set(traced) == {(3, 8)} and len(traced) == 1


@pytest.mark.parametrize('devices', [1, 8])
@pytest.mark.parametrize(
  'reduction',
  [knn_classifier.Nearest(200), soft_nn.Soft(1000, 0.1)],
  ids=['knn', 'soft'],
)
def test_memory_is_bounded_at_the_size_of_imagenet(reduction, devices):
  """As XLA compiles for the CPU: nothing is run or held."""
  mesh = _mesh(devices)
  plan = chunked_similarity.layout(
    50_000, 1_281_167, 2048, devices, chunked_similarity.Limits()
  )
  split = mesh_lib.sharded(mesh)

  def shape(x, dtype=np.float32):
    return jax.ShapeDtypeStruct(x, dtype, sharding=split)

  state = jax.eval_shape(
    lambda: chunked_similarity.empty(reduction, plan, mesh)
  )
  compiled = chunked_similarity.fold.lower(
    jax.tree.map(lambda x: shape(x.shape, x.dtype), state),
    shape((plan.blocks, plan.block, 2048)),
    shape((plan.rows, 2048)),
    shape((plan.rows,), np.int32),
    reduction=reduction,
    mesh=mesh,
  ).compile()
  memory = compiled.memory_analysis()
  # Scores of all queries with one chunk would be 3 GiB.
  assert memory.temp_size_in_bytes < 0.75 * GIB
  held = memory.argument_size_in_bytes + memory.output_size_in_bytes
  # A core of a TPU v3 has 16 GiB; one chunk more is on its way meanwhile.
  chunk = 4 * plan.rows * 2048
  total = memory.temp_size_in_bytes + held + chunk
  assert total - memory.alias_size_in_bytes < 2 * GIB
  assert memory.alias_size_in_bytes > 0


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (dict(support_label=np.full(5, -1, np.int32)), 'None of the 5 images'),
    (dict(query=np.ones((0, 4), np.float32)), 'no query'),
    (dict(query=np.full((2, 4), np.nan, np.float32)), 'queries must be finite'),
    (dict(support=np.full((5, 4), np.inf, np.float32)), 'the support must'),
    (
      dict(support=np.ones((0, 4)), support_label=np.ones(0, np.int32)),
      'None of the 0 images',
    ),
  ],
)
def test_bad_input_is_named(change, message):
  good = dict(
    query=np.ones((2, 4), np.float32),
    support=np.ones((5, 4), np.float32),
    support_label=np.zeros(5, np.int32),
  )
  with pytest.raises(ValueError, match=message):
    chunked_similarity.reduce(
      **good | change, reduction=_Journal(16), mesh=_mesh(1)
    )
