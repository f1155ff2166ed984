"""Gallery of the views of a few images."""

from semppl_jax.config import loading
from semppl_jax.data import labels, pipeline
from semppl_jax.report import augmented_views, components
from semppl_jax.report.components import Gallery, Note


def test_views_are_those_that_the_pipeline_cuts(inputs):
  """Color operations are off, so that a view is what the pipeline cuts."""
  gallery, note = augmented_views.blocks(inputs)
  assert isinstance(gallery, Gallery) and isinstance(note, Note)
  captions = [picture.caption for picture in gallery.cards[0].pictures]
  assert captions == [
    'centre crop', 'large view 1', 'large view 2', 'small view 1',
  ]  # fmt: skip
  assert 'no view is masked' in note.text
  rows = augmented_views._sample(inputs)
  config = loading.copy(inputs.config)
  config.batch_size = len(rows)
  few = inputs.splits.train.select(rows)
  batch = next(pipeline.train_batches(config, few, labels.NONE)).batch
  where = {int(index): n for n, index in enumerate(batch.index)}
  for card in gallery.cards:
    name = card.title.split(' (')[0]
    place = where[few.ids.tolist().index(name)]
    for view in range(2):
      source = card.pictures[1 + view].source
      assert source == components.encode_image(batch.large[place, view])
