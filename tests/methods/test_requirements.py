"""A sentence for each field that a method cannot work with, and no other."""

import re

import pytest

from configs import quickstart
from semppl_jax import methods
from semppl_jax.config.constraints import RunDims


@pytest.mark.parametrize('method, change, sentence', [
    ('simclr', {'views.small.count': 2}, r'small\.count=2 must be 0 .*simclr'),
    ('simclr', {'views.large.count': 4}, r'large\.count=4 must be 2 .*simclr'),
    ('simclr', {'simclr.temperature': 0.0}, r'temperature=0\.0 .*above 0'),
    ('byol', {'views.large.count': 1}, r'large\.count=1 must be 2 or more'),
    ('suncet', {'views.large.count': 1}, r'large\.count=1 must be 2 .*suncet'),
    ('suncet', {'views.small.count': 1}, r'small\.count=1 must be 0 .*suncet'),
    ('suncet', {'suncet.contrast_weight': -1.0}, r'weight=-1\.0 .*least 0'),
    ('suncet', {'suncet.labelled': 'bach'}, r"labelled='bach' .*'batch'\?"),
    ('suncet', {'suncet.duration': '9'}, r"duration='9' is not a duration"),
    ('suncet', {'support.images_per_class': 3}, r'8 devices, and is 30'),
    (
      'suncet', {'suncet.labelled': 'batch', 'data.labelled_per_batch': 0},
      r"labelled='batch' must be 'support' where .*less than two labelled",
    ),
    ('relicv2', {'relicv2.num_negatives': 64}, r'negatives=64 .*batch_size=64'),
    ('relicv2', {'relicv2.invariance': 'k'}, r"invariance='k' .*'kl'\?"),
    ('relicv2', {'relicv2.negatives': 'pair'}, r"negatives='pair' .*'shared'"),
    ('paws', {'views.large.count': 4}, r'large\.count=4 must be 2 .*paws'),
    ('paws', {'support.classes_per_batch': 16}, r'=16 .*most the 10 classes'),
    ('paws', {'accumulate': 3}, r'accumulate=3 times the 8 .* and is 40'),
    ('paws', {'paws.temperature': 0.0}, r'temperature=0\.0 must be above 0'),
    ('paws', {'paws.label_smoothing': 1.0}, r'smoothing=1\.0 .*below 1'),
    ('paws', {'paws.sharpening': 0.0}, r'sharpening=0\.0 must be above 0'),
    ('swav', {'views.large.count': 1}, r'large\.count=1 must be 2 or more'),
    ('swav', {'swav.queue': 'many'}, r"queue='many' is not a queue size"),
    ('swav', {'swav.queue': '0.01 batches'}, r"queue='0\.01 b.*whole number"),
    ('swav', {'swav.queue_from': 'soon'}, r"from='soon' is not a duration"),
    ('swav', {'swav.freeze': '1 week'}, r"freeze='1 week' is not a duration"),
    ('swav', {'swav.epsilon': 0.0}, r'epsilon=0\.0 must be above 0'),
    ('swav', {'swav.iterations': 0}, r'iterations=0 must be at least 1'),
    (
      'relicv2', {'relicv2.include_same_view': False, 'views.large.count': 1},
      r'include_same_view=False must be True where there is one view',
    ),
], ids=str)  # fmt: skip
def test_a_field_that_cannot_work_is_one_sentence(method, change, sentence):
  config, dims = quickstart.get_config(), RunDims(8, 1, 6000, 10, 60)
  config.method = method
  config.support.update(classes_per_batch=10, images_per_class=4)
  assert [*methods.problems(config, dims)] == []
  config.update_from_flattened_dict(change)
  (problem,) = methods.problems(config, dims)
  assert re.search(sentence, problem), problem


@pytest.mark.parametrize('change', [
    # Without NT-Xent there need be no second view.
    {'suncet.contrast_weight': 0.0, 'views.large.count': 1},
    # Nor a support that divides where the batch has the labels.
    {'suncet.labelled': 'batch', 'support.images_per_class': 3},
    # About six labels fall into a batch.
    {'suncet.labelled': 'batch', 'data.labelled_per_batch': 0},
], ids=str)  # fmt: skip
@pytest.mark.parametrize('known', [True, False], ids=['data', 'no data'])
def test_suncet_asks_for_no_more_than_it_uses(change, known):
  config = quickstart.get_config()
  config.method = 'suncet'
  config.support.update(classes_per_batch=10, images_per_class=4)
  config.update_from_flattened_dict(change)
  dims = RunDims(8, 1, *((6000, 10, 600) if known else (None, None, None)))
  assert [*methods.problems(config, dims)] == []
