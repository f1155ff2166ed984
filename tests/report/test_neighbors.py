"""Galleries of similar images."""

import numpy as np

from semppl_jax.evaluators.features import Features
from semppl_jax.report import neighbors, run_record
from semppl_jax.report.components import Note
from tests.helpers import fake_runs


def test_neighbours_of_features_are_the_nearest(inputs):
  """Of random features, against a slow search."""
  rng = np.random.default_rng(0)
  features = lambda n, label: Features(
    {'encoder': rng.normal(size=(n, 3)).astype(np.float32)},
    np.asarray(label, np.int32),
    np.arange(n, dtype=np.int32),
  )
  queries = features(6, [0, 1, 0, 1, 0, -1])
  support = features(9, [0, 1, 0, 1, 0, 1, 0, 1, 0])
  (gallery,) = neighbors.nearest_labelled(inputs, queries, support)
  for card in gallery.cards:
    name = card.title.split(':')[0]
    row = inputs.splits.test.ids.tolist().index(name)
    q = queries.values['encoder'][row]
    cosines = sorted(
      (
        float(q @ s / np.linalg.norm(q) / np.linalg.norm(s))
        for s in support.values['encoder']
      ),
      reverse=True,
    )
    shown = [float(p.caption.split(', ')[1]) for p in card.pictures[1:]]
    np.testing.assert_allclose(shown, cosines[:5], atol=0.006)
  # The last has no label to be judged by.
  assert len(gallery.cards) == 5


def test_no_votes_are_said(tmp_path, inputs):
  (record,) = run_record.read_all(
    [fake_runs.write(tmp_path / 'fake', method='simclr')]
  )
  (note,) = neighbors.queue_votes(record, inputs)
  assert isinstance(note, Note) and 'No votes' in note.text
