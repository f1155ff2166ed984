"""Maps of the features of a run."""

import numpy as np

from semppl_jax.evaluators.features import Features
from semppl_jax.report import embeddings
from semppl_jax.report.components import Figure, Note


def _features(inputs, count):
  """Two groups, one for each class."""
  label = inputs.splits.train.labels[:count]
  noise = np.random.default_rng(0).normal(size=(count, 8))
  return Features(
    {'encoder': (noise + 20 * np.eye(8)[label]).astype(np.float32)},
    label,
    np.arange(count, dtype=np.int32),
  )


def test_maps_have_every_image_and_tell_groups_apart(inputs):
  size = inputs.splits.train.size
  train = _features(inputs, size)
  pca, tsne = embeddings.maps(inputs, train)
  assert isinstance(pca, Figure) and isinstance(tsne, Figure)
  for figure in (pca, tsne):
    assert len(figure.data['x']) == len(figure.data['y']) == size
    assert sum(figure.data['labelled']) == len(inputs.subset.index)
  sides = np.asarray(pca.data['x']) > 0
  assert len(np.unique(sides[train.label == 0])) == 1
  assert sides[train.label == 0][0] != sides[train.label == 1][0]


def test_few_images_are_no_map(inputs):
  (note,) = embeddings.maps(inputs, _features(inputs, 5))
  assert isinstance(note, Note) and '5 images are too few' in note.text
