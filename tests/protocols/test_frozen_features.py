"""Protocols on frozen features, against slow versions."""

import numpy as np
import pytest

from semppl_jax.protocols import frozen_features
from semppl_jax.protocols.evaluated_model import EvaluatedModel
from tests.helpers.evaluations import make_context


@pytest.fixture
def evaluation(images, checkpoint, tmp_path):
  context = make_context(images, checkpoint, tmp_path)
  return context, EvaluatedModel(context, context.weights, 'weights')


def _unit(x):
  return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_one_neighbour_votes_for_its_own_class(evaluation):
  context, model = evaluation
  metrics = frozen_features.run_knn(context, model)
  test, support = model.test, model.support('labelled')
  cosines = _unit(test.values['encoder']) @ _unit(support.values['encoder']).T
  nearest = support.label[cosines.argmax(axis=1)]
  assert metrics['knn/labelled/k1/top1'] == pytest.approx(
    np.mean(nearest == test.label)
  )


def test_soft_neighbours_are_a_softmax_of_cosines(evaluation):
  context, model = evaluation
  support = model.support('labelled')
  kind, scores = frozen_features.soft_nn_scores(context, model.test, support)
  assert kind == 'projection'
  cosines = _unit(model.test.values[kind]) @ _unit(support.values[kind]).T
  weights = np.exp(cosines / context.config.soft_nn.temperature)
  weights /= weights.sum(axis=1, keepdims=True)
  want = weights @ np.eye(context.classes)[support.label]
  np.testing.assert_allclose(scores, want, rtol=1e-3, atol=1e-5)
