"""Features of a network under evaluation."""

import numpy as np

from semppl_jax.protocols.evaluated_model import EvaluatedModel
from tests.helpers.evaluations import make_context


def test_features_are_those_of_the_images_that_may_be_used(
  images, checkpoint, tmp_path
):
  context = make_context(images, checkpoint, tmp_path)
  model = EvaluatedModel(context, context.weights, 'weights')
  test = model.test
  assert test is model.test  # Computed once.
  np.testing.assert_array_equal(test.label, context.test.labels[test.index])
  assert set(test.values) >= {'encoder', 'projection'}
  everything, labelled = model.support('train'), model.support('labelled')
  assert len(everything.index) == context.splits.train.size
  np.testing.assert_array_equal(labelled.index, context.subset.index)
  # The features of an image do not depend on those beside it.
  rows = np.isin(everything.index, labelled.index)
  np.testing.assert_allclose(
    everything.values['encoder'][rows],
    labelled.values['encoder'],
    rtol=1e-5,
    atol=1e-6,
  )
