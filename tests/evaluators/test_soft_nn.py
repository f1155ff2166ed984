"""Soft nearest neighbors against NumPy in float64."""

from hypothesis import given, settings, strategies as st
import jax
import numpy as np
import pytest

from semppl_jax.evaluators import chunked_similarity, soft_nn
from semppl_jax.runtime import mesh as mesh_lib


def _mesh(devices):
  return mesh_lib.make_mesh(jax.devices()[:devices])


def _slow(query, support, label, classes, temperature):
  """softmax(q sᵀ / τ) y with the whole matrix, labelled images alone."""

  def unit(x):
    x = x.astype(np.float64)
    return x / np.linalg.norm(x, axis=1, keepdims=True)

  known = label >= 0
  logits = unit(query) @ unit(support[known]).T / temperature
  weight = np.exp(logits - logits.max(axis=1, keepdims=True))
  share = weight / weight.sum(axis=1, keepdims=True)
  return share @ np.eye(classes)[label[known]]


def _data(rng, queries, rows, classes, dimension=6):
  query = rng.normal(size=(queries, dimension)).astype(np.float32)
  support = rng.normal(size=(rows, dimension)).astype(np.float32) * 3
  return query, support, rng.integers(0, classes, rows).astype(np.int32)


@settings(max_examples=10, deadline=None)
@given(
  seed=st.integers(0, 10_000),
  rows=st.integers(1, 50),
  temperature=st.sampled_from([0.01, 0.1, 1.0]),
  devices=st.sampled_from([1, 8]),
  chunk_rows=st.sampled_from([1, 8, 64]),
)
def test_chunks_make_the_whole_softmax(
  seed, rows, temperature, devices, chunk_rows
):
  rng = np.random.default_rng(seed)
  query, support, label = _data(rng, 9, rows, 4)
  found = chunked_similarity.reduce(
    query,
    support,
    label,
    soft_nn.Soft(4, temperature),
    _mesh(devices),
    chunked_similarity.Limits(2**20, chunk_rows, 4 * 3 * chunk_rows),
  )
  got = found.votes / found.votes.sum(axis=1, keepdims=True)
  want = _slow(query, support, label, 4, temperature)
  np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_a_golden_value():
  query = np.array([[2.0, 0.0]], np.float32)
  support = np.array([[1, 0], [0, 5], [0, -1], [9, 9]], np.float32)
  label = np.array([2, 0, 0, -1], np.int32)
  got = soft_nn.scores(query, support, label, 4, 1 / np.log(3), _mesh(1))
  # Weights 3 for the first, and 1 for each of the two at right angles.
  np.testing.assert_allclose(got, [[0.4, 0, 0.6, 0]], rtol=1e-6)


def test_a_temperature_near_zero_is_the_nearest_neighbor():
  rng = np.random.default_rng(0)
  query, support, label = _data(rng, 20, 50, 5)
  got = soft_nn.scores(query, support, label, 5, 1e-6, _mesh(1))
  want = _slow(query, support, label, 5, 1e-6)
  np.testing.assert_allclose(got.sum(axis=1), 1, rtol=1e-6)
  np.testing.assert_array_equal(got.argmax(axis=1), want.argmax(axis=1))


def test_copies_share_their_vote_over_chunks_and_devices():
  rng = np.random.default_rng(1)
  query, support, label = _data(rng, 5, 8, 3)
  label[0] = -1
  many = np.tile(support, (40, 1)), np.tile(label, 40)
  got = soft_nn.scores(query, *many, 3, 0.1, _mesh(8))
  once = soft_nn.scores(query, support, label, 3, 0.1, _mesh(1))
  np.testing.assert_allclose(got, once, rtol=1e-5)


@pytest.mark.parametrize(
  ('classes', 'temperature', 'message'),
  [
    (3, 0.0, 'temperature of soft nearest neighbors must be > 0, got 0'),
    (3, float('nan'), 'must be > 0, got nan'),
    (2, 0.1, 'Labels must be < 2'),
  ],
)
def test_bad_input_is_named(classes, temperature, message):
  x, label = np.eye(3, dtype=np.float32), np.arange(3, dtype=np.int32)
  with pytest.raises(ValueError, match=message):
    soft_nn.scores(x, x, label, classes, temperature, _mesh(1))


@pytest.mark.slow
def test_a_large_support_is_that_of_numpy():
  rng = np.random.default_rng(0)
  query, support, label = _data(rng, 5_000, 50_000, 100, dimension=64)
  got = soft_nn.scores(query, support, label, 100, 0.1, _mesh(8))
  for start in range(0, len(query), 500):
    part = slice(start, start + 500)
    want = _slow(query[part], support, label, 100, 0.1)
    np.testing.assert_allclose(got[part], want, rtol=1e-4, atol=1e-7)
