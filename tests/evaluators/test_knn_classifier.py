"""The weighted k-NN against NumPy, padding and unknown labels included."""

from hypothesis import given, settings, strategies as st
import jax
import numpy as np
import pytest

from semppl_jax.evaluators import chunked_similarity, knn_classifier
from semppl_jax.runtime import mesh as mesh_lib


def _data(queries=13, rows=37, classes=4, seed=0):
  rng = np.random.default_rng(seed)
  centre = rng.normal(size=(classes, 6)) * 2
  label = rng.integers(0, classes, rows).astype(np.int32)
  truth = rng.integers(0, classes, queries).astype(np.int32)
  noise = lambda n: rng.normal(size=(n, 6))
  draw = lambda y: (centre[y] + noise(len(y))).astype(np.float32)
  return draw(truth), truth, draw(label), label


def _slow(query, support, label, k, temperature):
  unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)
  result = []
  for q in unit(query):
    similarity = unit(support) @ q
    near = np.argsort(-similarity, kind='stable')[:k]
    votes = np.zeros(label.max() + 1)
    for n in near:
      votes[label[n]] += np.exp(similarity[n] / temperature)
    result.append(votes.argmax())
  return np.array(result)


@pytest.mark.parametrize('devices', [1, 8])
def test_predictions_are_those_of_numpy(devices):
  mesh = mesh_lib.make_mesh(jax.devices()[:devices])
  query, _, support, label = _data()
  got = knn_classifier.scores(
    query, support, label, 4, (1, 5, 20, 200), 0.07, mesh
  )
  for k, votes in got.items():
    np.testing.assert_array_equal(
      votes.argmax(axis=1), _slow(query, support, label, k, 0.07)
    )


def test_images_without_a_label_neither_vote_nor_count():
  mesh = mesh_lib.make_mesh(jax.devices()[:1])
  query, truth, support, label = _data()
  hidden_truth, hidden_label = truth.copy(), label.copy()
  hidden_truth[::3] = -1
  hidden_label[::2] = -1
  got = knn_classifier.top1(
    query, hidden_truth, support, hidden_label, (5,), 0.07, mesh
  )
  asked, known = hidden_truth >= 0, hidden_label >= 0
  want = _slow(query[asked], support[known], label[known], 5, 0.07)
  assert got[5] == np.mean(want == truth[asked])


def test_a_test_set_without_labels_has_no_accuracy():
  mesh = mesh_lib.make_mesh(jax.devices()[:1])
  query, truth, support, label = _data()
  hidden = np.full_like(truth, -1)
  assert (
    knn_classifier.top1(query, hidden, support, label, (5,), 0.07, mesh) == {}
  )


def _exact(rng, rows, dimension):
  """Rows of signs: all similarities are exact, and many are equal."""
  return rng.choice([-1.0, 1.0], (rows, dimension)).astype(np.float32)


def _slow_votes(query, support, label, classes, k, temperature):
  """Votes by whole numbers: of equal products the lower index is nearer."""
  known = np.flatnonzero(label >= 0)
  product = (query @ support[known].T).astype(np.int64)
  rank = product * len(known) + np.arange(len(known))[::-1]
  k = min(k, len(known))
  nearest = np.argpartition(rank, -k, axis=1)[:, -k:]
  votes = np.zeros((len(query), classes))
  for row, found in enumerate(nearest):
    cosine = product[row, found] / query.shape[1]
    weight = np.exp(
      (cosine - product[row].max() / query.shape[1]) / temperature
    )
    np.add.at(votes[row], label[known[found]], weight)
  return votes


@settings(max_examples=10, deadline=None)
@given(
  seed=st.integers(0, 10_000),
  rows=st.integers(1, 60),
  hidden=st.sampled_from([0.0, 0.5]),
  k=st.sampled_from([1, 4, 30]),
  devices=st.sampled_from([1, 8]),
  chunk_rows=st.sampled_from([1, 8, 64]),
)
def test_ties_go_to_the_earlier_image_whatever_the_chunks(
  seed, rows, hidden, k, devices, chunk_rows
):
  rng = np.random.default_rng(seed)
  query, support = _exact(rng, 9, 4), _exact(rng, rows, 4)
  label = rng.integers(0, 5, rows).astype(np.int32)
  label[1:][rng.random(rows - 1) < hidden] = -1
  k = min(k, (label >= 0).sum().item())
  near = chunked_similarity.reduce(
    query,
    support,
    label,
    knn_classifier.Nearest(k),
    mesh_lib.make_mesh(jax.devices()[:devices]),
    chunked_similarity.Limits(2**20, chunk_rows, 4 * 3 * chunk_rows),
  )
  known = np.flatnonzero(label >= 0)
  cosine = query @ support[known].T / 4
  order = np.argsort(-cosine, axis=1, kind='stable')[:, :k]
  np.testing.assert_array_equal(near.label, label[known][order])
  wanted = np.take_along_axis(cosine, order, axis=1)
  np.testing.assert_array_equal(near.similarity, wanted)


@pytest.mark.parametrize('devices', [1, 8])
def test_scores_are_the_votes_of_all_classes(devices):
  rng = np.random.default_rng(0)
  mesh = mesh_lib.make_mesh(jax.devices()[:devices])
  query, support = _exact(rng, 11, 16), _exact(rng, 50, 16)
  label = rng.integers(-1, 5, 50).astype(np.int32)
  got = knn_classifier.scores(
    query, support, label, 7, (20, 3, 1000), 0.1, mesh
  )
  assert list(got) == [20, 3, 1000]
  for k, votes in got.items():
    assert votes.dtype == np.float32
    want = _slow_votes(query, support, label, 7, k, 0.1)
    np.testing.assert_allclose(votes, want, rtol=1e-5)
    # Nobody votes for the last classes, and nobody ranks below them.
    assert not votes[:, 5:].any()


def test_of_equal_votes_the_lower_class_wins():
  mesh = mesh_lib.make_mesh(jax.devices()[:1])
  support = np.array([[0, 1], [0, 1], [1, 0]], np.float32)
  label = np.array([2, 1, 0], np.int32)
  query = np.array([[0, 3]], np.float32)
  for truth, want in ((2, {1: 1.0, 2: 0.0}), (1, {1: 0.0, 2: 1.0})):
    got = knn_classifier.top1(
      query, np.array([truth]), support, label, (1, 2), 0.1, mesh
    )
    assert got == want


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (dict(k=(5, 0)), r'numbers >= 1, got \(5, 0\)'),
    (dict(k=()), r'one or more numbers >= 1, got \(\)'),
    (dict(temperature=0.0), 'temperature of the votes must be > 0, got 0'),
    (dict(classes=2), 'Labels must be < 2, the number of classes, got 2'),
    (dict(support_label=np.full(3, -1, np.int32)), 'None of the 3 images'),
  ],
)
def test_bad_input_is_named(change, message):
  good = dict(
    query=np.eye(3, dtype=np.float32),
    support=np.eye(3, dtype=np.float32),
    support_label=np.arange(3, dtype=np.int32),
    classes=3,
    k=(1,),
    temperature=0.1,
    mesh=mesh_lib.make_mesh(jax.devices()[:1]),
  )
  with pytest.raises(ValueError, match=message):
    knn_classifier.scores(**good | change)


@pytest.mark.slow
def test_a_large_support_is_that_of_numpy():
  rng = np.random.default_rng(0)
  mesh = mesh_lib.make_mesh()
  query, support = _exact(rng, 5_000, 64), _exact(rng, 50_000, 64)
  label = rng.integers(0, 100, 50_000).astype(np.int32)
  got = knn_classifier.scores(query, support, label, 100, (1, 200), 0.07, mesh)
  for start in range(0, len(query), 500):
    part = slice(start, start + 500)
    for k, votes in got.items():
      want = _slow_votes(query[part], support, label, 100, k, 0.07)
      np.testing.assert_allclose(votes[part], want, rtol=1e-5)
