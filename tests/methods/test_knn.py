"""Neighbours, votes and draws against plain NumPy."""

import collections

from hypothesis import given, settings, strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from semppl_jax.methods import knn
from semppl_jax.runtime import mesh as mesh_lib


def _mesh(devices):
  return mesh_lib.make_mesh(jax.devices()[:devices])


def _slow_top_k(query, query_index, bank, bank_index, age, k):
  """Sorts every bank for every query: (-similarity, age)."""
  similarity = np.full((len(query), len(bank), k), -np.inf, np.float32)
  slot = np.full((len(query), len(bank), k), -1)
  for m, q in enumerate(query):
    for b, rows in enumerate(bank):
      allowed = [
        (-float(q @ rows[s]), age[s], s)
        for s in range(len(rows))
        if bank_index[s] >= 0 and bank_index[s] != query_index[m]
      ]
      for n, (negated, _, s) in enumerate(sorted(allowed)[:k]):
        similarity[m, b, n], slot[m, b, n] = -negated, s
  return similarity, slot


@settings(max_examples=30, deadline=None)
@given(
  seed=st.integers(0, 10_000),
  devices=st.sampled_from([1, 2, 8]),
  k=st.sampled_from([1, 2, 5, 8]),
  rows=st.sampled_from([8, 16, 40]),
  filled=st.floats(0, 1),
)
def test_top_k_is_exact_with_ties(seed, devices, k, rows, filled):
  rng = np.random.default_rng(seed)
  # Small integers: many equal similarities, all sums exact.
  query = rng.integers(-2, 3, (16, 3)).astype(np.float32)
  bank = rng.integers(-2, 3, (2, rows, 3)).astype(np.float32)
  query_index = rng.integers(0, 6, 16).astype(np.int32)
  bank_index = rng.integers(0, 6, rows).astype(np.int32)
  bank_index[rng.random(rows) > filled] = -1
  age = rng.permutation(rows).astype(np.int32)
  arguments = (query, query_index, bank, bank_index, age)
  want_similarity, want_slot = _slow_top_k(*arguments, k)
  got = jax.jit(knn.top_k, static_argnames=('k', 'mesh'))(
    *arguments, k=k, mesh=_mesh(devices)
  )
  np.testing.assert_array_equal(got.similarity, want_similarity)
  found = np.isfinite(want_similarity)
  np.testing.assert_array_equal(np.asarray(got.slot)[found], want_slot[found])


def test_top_k_in_chunks_changes_nothing(monkeypatch):
  rng = np.random.default_rng(0)
  arguments = (
    rng.normal(size=(64, 4)).astype(np.float32),
    np.full(64, -2, np.int32),
    rng.normal(size=(1, 32, 4)).astype(np.float32),
    np.arange(32, dtype=np.int32),
    np.arange(32, dtype=np.int32),
  )

  def found():
    return jax.jit(lambda *x: knn.top_k(*x, k=3, mesh=_mesh(2)))(*arguments)

  whole = found()
  monkeypatch.setattr(knn, '_CHUNK_BYTES', 4 * 16 * 8)
  parts = found()
  np.testing.assert_array_equal(whole.slot, parts.slot)


def test_top_k_gathers_candidates_and_not_scores():
  rows, queries = 4096, 512
  arguments = (
      jnp.zeros((queries, 4)), jnp.zeros(queries, jnp.int32),
      jnp.zeros((1, rows, 4)), jnp.arange(rows, dtype=jnp.int32),
      jnp.arange(rows, dtype=jnp.int32),
  )  # fmt: skip
  mesh = _mesh(8)
  shardings = (
      mesh_lib.sharded(mesh), mesh_lib.sharded(mesh),
      mesh_lib.sharded(mesh, 1), mesh_lib.sharded(mesh),
      mesh_lib.sharded(mesh),
  )  # fmt: skip
  text = (
    jax.jit(lambda *a: knn.top_k(*a, k=1, mesh=mesh), in_shardings=shardings)
    .lower(*arguments)
    .compile()
    .as_text()
  )
  gathers = [line for line in text.splitlines() if 'all-gather' in line]
  assert not [line for line in gathers if str(rows) in line], gathers


def _slow_vote(label, similarity, tie):
  count, support = collections.Counter(), collections.Counter()
  for one, s in zip(label, similarity, strict=True):
    if one >= 0:
      count[one] += 1
      support[one] += s
  if not count:
    return -1
  if tie == 'smallest_class':
    support.clear()
  return min(count, key=lambda c: (-count[c], -support[c], c))


@settings(max_examples=60, deadline=None)
@given(
  votes=st.lists(
    st.tuples(st.integers(-1, 3), st.integers(-4, 4)),
    min_size=6,
    max_size=6,
  ),
  tie=st.sampled_from(['similarity', 'smallest_class']),
)
def test_vote_is_the_majority_with_the_tie_rule(votes, tie):
  label = np.array([v[0] for v in votes], np.int32)
  similarity = np.array([v[1] for v in votes], np.float32)
  got = knn.vote(jnp.asarray(label), jnp.asarray(similarity), tie)
  want = _slow_vote(label.tolist(), similarity.tolist(), tie)
  assert got.label == want
  mine = (label == want) & (label >= 0)
  np.testing.assert_allclose(got.similarity, similarity[mine].sum())
  share = mine.sum() / max((label >= 0).sum(), 1)
  np.testing.assert_allclose(got.share, share, rtol=1e-6)


def test_tie_goes_to_the_closer_label_then_to_the_smaller():
  label = jnp.array([[2, 1, 2, 1], [3, 3, 0, 0]], jnp.int32)
  similarity = jnp.array([[0.9, 0.5, 0.8, 0.6], [0.5, 0.5, 0.5, 0.5]])
  np.testing.assert_array_equal(knn.vote(label, similarity).label, [2, 0])
  plain = knn.vote(label, similarity, 'smallest_class')
  np.testing.assert_array_equal(plain.label, [1, 0])


@settings(max_examples=30, deadline=None)
@given(
  seed=st.integers(0, 10_000),
  rows=st.sampled_from([1, 7, 32]),
  empty=st.floats(0, 1),
)
def test_draws_are_of_the_label_and_never_of_the_anchor(seed, rows, empty):
  rng = np.random.default_rng(seed)
  index = rng.integers(0, 10, rows).astype(np.int32)
  label = (index % 3).astype(np.int32)  # An image has one label.
  label[rng.random(rows) < empty] = -1
  anchor_index = np.arange(24, dtype=np.int32) - 2
  anchor_label = np.where(
    anchor_index < 0, -1, np.maximum(anchor_index, 0) % 3
  ).astype(np.int32)
  anchor_label[20:] = 5  # A label that nobody has.
  got = jax.jit(knn.draw_same_label, static_argnums=5)(
    jax.random.key(seed), label, index, anchor_label, anchor_index, (2, 3)
  )
  for b in range(24):
    allowed = [
      s
      for s in range(rows)
      if label[s] == anchor_label[b] >= 0 and index[s] != anchor_index[b]
    ]
    assert got.valid[b] == bool(allowed)
    if allowed:
      assert set(np.ravel(got.slot[b])) <= set(allowed)


def test_draws_are_uniform():
  label = jnp.array([0, 1, 0, 0, 1, 0, -1], jnp.int32)
  index = jnp.array([7, 8, 9, 7, 8, 5, -1], jnp.int32)
  draws = 30_000
  got = knn.draw_same_label(
      jax.random.key(0), label, index,
      jnp.array([0, 0], jnp.int32), jnp.array([7, 3], jnp.int32), (draws,),
  )  # fmt: skip
  for row, allowed in ((0, [2, 5]), (1, [0, 2, 3, 5])):
    share = np.bincount(np.asarray(got.slot[row]), minlength=7) / draws
    want = np.zeros(7)
    want[allowed] = 1 / len(allowed)
    np.testing.assert_allclose(share, want, atol=0.015)


@pytest.mark.parametrize('exclude', [True, False])
def test_draw_may_or_may_not_return_the_anchor(exclude):
  label = jnp.zeros(1, jnp.int32)
  index = jnp.full(1, 4, jnp.int32)
  anchor = jnp.full(1, 4 if exclude else -1, jnp.int32)
  got = knn.draw_same_label(
    jax.random.key(0), label, index, jnp.zeros(1, jnp.int32), anchor, (1,)
  )
  assert got.valid[0] != exclude
