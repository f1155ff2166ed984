"""Every impossible value is found, named, and told from the possible."""

import re

from hypothesis import given, strategies as st
import pytest

from configs import base, quickstart
from semppl_jax import methods
from semppl_jax.config import constraints
from semppl_jax.training import config_checks


def _config():
  """The quick start at sizes that the sentences below name."""
  config = quickstart.get_config()
  config.batch_size, config.duration = 256, '1000 steps'
  config.semppl.update(queue='1024 rows', k=1, num_negatives=10)
  config.data.labelled_per_batch = 0
  return config


def _problems(config=None, **facts):
  known = dict(
    device_count=8, process_count=1, examples=6000, classes=10, labelled=600
  )
  return config_checks.problems(
    _config() if config is None else config, **(known | facts)
  )


def _changed(**fields):
  config = _config()
  with config.ignore_type():
    config.update_from_flattened_dict(
      {name.replace('__', '.'): value for name, value in fields.items()}
    )
  return config


def test_the_quick_start_has_no_problem():
  assert _problems(quickstart.get_config()) == []
  assert _problems() == []
  assert _problems(examples=None, classes=None, labelled=None) == []


@pytest.mark.parametrize(
  'fields, sentence',
  [
    (dict(batch_size=1), r'batch_size=1 must be at least 2\.'),
    (dict(batch_size=100), r'batch_size=100 .*multiple of the 8 devices\.'),
    (dict(batch_size=6400), r'batch_size=6400 .*at most the 6000 train'),
    (
      dict(data__backend='device', data__scaled_decoding=True),
      r"scaled_decoding=True must be False where data\.backend='device'",
    ),
    (
      dict(data__crops='device', views__antialias=True),
      r'antialias=True must be False where the devices cut the views',
    ),
    (dict(seed=-1), r'seed=-1 .*at least 0 and below 4\.29'),
    (dict(method='sempl'), r"method='sempl' .*did you mean 'semppl'\?"),
    (dict(on_nonfinite='x'), r"on_nonfinite='x' .*one of 'stop', 'skip'\."),
    (dict(duration='3 weeks'), r"duration='3 weeks' is not a duration"),
    (dict(duration='0 steps'), r"duration='0 steps' must be longer than 0"),
    (dict(checkpoint__every='0 epochs'), r'checkpoint\.every=.*longer than 0'),
    (dict(checkpoint__every=''), r"checkpoint\.every='' is not a duration"),
    (dict(log_every='5'), r"log_every='5' is not a duration"),
    (dict(optimizer__warmup='2000 steps'), r'warmup=.*as duration='),
    (dict(optimizer__warmup='60 epochs'), r'warmup=.*as duration='),
    (dict(optimizer__learning_rate=-0.1), r'learning_rate=-0\.1 .*least 0'),
    (dict(optimizer__learning_rate=float('nan')), r'learning_rate=nan'),
    (dict(optimizer__momentum=1.0), r'momentum=1\.0 .*below 1\.'),
    (dict(optimizer__name='sdg'), r"name='sdg' .*'lars', 'lars_paws'"),
    (dict(ema__decay=1.1), r'ema\.decay=1\.1 .*at most 1\.'),
    (dict(ema__schedule='cosin'), r"did you mean 'cosine'\?"),
    (dict(augment__jitter=1.5), r'jitter=1\.5 .*at least 0 and at most 1'),
    (dict(augment__hue=0.6), r'hue=0\.6 .*at most 0\.5'),
    (dict(augment__blur=(1.0,)), r'blur=\(1\.0,\) must be 2 numbers'),
    (dict(augment__blur=('a', 'b')), r"blur=\('a', 'b'\) must be 2 numbers"),
    (dict(augment__blur_sigma=(2.0, 0.1)), r'blur_sigma=.*lower and an upper'),
    (dict(augment__solarize=(0.0, 2.0)), r'solarize=.*each at least 0'),
    (dict(augment__std=(0.0, 1.0, 1.0)), r'std=.*each above 0'),
    (dict(augment__mean=(0.5, 0.5)), r'mean=.*3 numbers'),
    (dict(saliency__probability=-0.1), r'probability=-0\.1'),
    (dict(saliency__fill='gray'), r"fill='gray' .*mean 'grey'\?"),
    (dict(views__large__count=0), r'large\.count=0 must be at least 1'),
    (dict(views__small__count=-1), r'small\.count=-1'),
    (dict(views__large__size=0), r'large\.size=0'),
    (dict(views__large__area=(0.0, 1.0)), r'large\.area=.*above 0'),
    (dict(views__large__area=(0.9, 0.5)), r'large\.area=.*lower'),
    (dict(views__small__area=(0.5, 1.5)), r'small\.area=.*at most 1'),
    (dict(views__large__aspect=(-1.0, 1.0)), r'large\.aspect=.*above 0'),
    (dict(views__flip=2.0), r'flip=2\.0'),
    (dict(views__interpolation='cubic'), r"mean 'bicubic'\?"),
    (dict(network__backbone='resnet5'), r"'resnet5'.*mean 'resnet50'\?"),
    (dict(network__padding='valid'), r"padding='valid' .*'torch' or 'same'"),
    (
      dict(network__precision='float16'),
      r"precision='float16' .*mean '\w*float",
    ),
    (dict(network__projector__output=0), r'projector\.output=0'),
    (dict(semppl__vote_views='al'), r"vote_views='al' .*mean 'all'\?"),
    (dict(semppl__tie='none'), r"tie='none' .*'similarity'"),
    (dict(semppl__invariance='k'), r"invariance='k' .*'log_ratio'"),
    (dict(semppl__k=0), r'semppl\.k=0'),
    (dict(semppl__k=2000), r'semppl\.k=2000 .*at most the 1024 rows'),
    (dict(semppl__temperature=0.0), r'temperature=0\.0 must be above 0'),
    (dict(semppl__num_negatives=256), r'num_negatives=256 .*batch_size=256'),
    (dict(semppl__queue='many'), r"queue='many' is"),
    (dict(semppl__queue='0 rows'), r'queue=.*one or more rows'),
    (dict(semppl__queue='1001 rows'), r'queue=.*multiple of the 8 devices'),
    (dict(semppl__queue='16 rows'), r'queue=.*hold the 26 labels'),
    (dict(views__large__size=33), r'large\.size=33 .*be even'),
    (dict(views__large__size=6), r'large\.size=6 .*be at least 8'),
    (dict(init_heads=('projektor',)), r'init_heads=.*some of projector'),
    (
      dict(supervised__frozen=True, method='supervised'),
      r'supervised\.frozen=True .*without weights',
    ),
    (
      dict(network__classifier__classes=5),
      r'classifier\.classes=5 .*0 or the 10 classes',
    ),
    (
      dict(semppl__include_same_view=False, views__large__count=1),
      r'include_same_view=False .*one view',
    ),
    (dict(data__labelled_per_batch=300), r'labelled_per_batch=300 .*=256'),
    (dict(data__kind='fold'), r"kind='fold' .*mean 'folder'\?"),
    (dict(data__kind='folder'), r"path='' must name a folder"),
    (dict(data__kind='tfrecord'), r"path='' must name files"),
    (dict(data__prefetch=0), r'prefetch=0'),
    (dict(data__max_corrupt=1.5), r'max_corrupt=1\.5'),
    (dict(eval__k=()), r'eval\.k=\(\) must be one or more numbers'),
    (dict(eval__k=(0, 1)), r'eval\.k=.*each at least 1'),
    (dict(eval__crop=40), r'eval\.crop=40 .*eval\.resize=32'),
    (dict(eval__batch_size=100), r'eval\.batch_size=100 .*8 devices'),
    (dict(checkpoint__keep=0), r'keep=0'),
  ],
)
def test_an_impossible_value_is_one_sentence(fields, sentence):
  found = _problems(_changed(**fields))
  assert len(found) == 1, found
  assert re.search(sentence, found[0]), found[0]
  assert found[0].startswith('config.') and '\n' not in found[0]


def test_labels_of_a_batch_must_fit_the_queue():
  fields = dict(semppl__queue='64 rows', data__labelled_per_batch=128)
  [found] = _problems(_changed(**fields))
  assert 'hold the 128 labels of one batch, and has 64 rows' in found


@pytest.mark.parametrize(
  'facts, word',
  [
    (dict(classes=1), '2 or more classes, and gives 1'),
    (dict(labelled=0), 'at least one image its label'),
    (dict(process_count=3), 'multiple of the 3 processes'),
    (dict(device_count=3), 'multiple of the 3 devices'),
  ],
)
def test_the_data_and_the_machines_count(facts, word):
  assert any(word in each for each in _problems(**facts))


def test_every_problem_comes_at_once():
  fields = dict(
    batch_size=0,
    augment__jitter=2.0,
    network__padding='valid',
    network__width=3,
    duration='long',
    method='byl',
  )
  found = _problems(_changed(**fields))
  assert len(found) == len(fields)


def test_every_number_and_string_has_a_limit():
  """A field added to the base is added here, or named as free."""
  free = {
    'data.name',
    'data.path',
    'data.train_split',
    'data.test_split',
    'data.test_path',
    'data.labels_file',
    'data.labels',
    'data.saliency',
    'method',
    'semppl.queue',
    'suncet.duration',
    'swav.freeze',
    'swav.queue',
    'swav.queue_from',
    'network.backbone',
    'network.width',
    'network.stem',
    'network.padding',
    'network.remat',
    'optimizer.warmup',
    'init_from',
    'init_heads',
  }
  limited = {
    *config_checks._RANGES,
    *config_checks._TUPLES,
    *config_checks._CHOICES,
    *config_checks._PERIODS,
  }
  for module in methods._TABLE.values():
    tables = getattr(module, 'FIELDS', constraints.Constraints())
    limited |= {*tables.ranges, *tables.tuples, *tables.choices}
  fields = {
    name
    for name, value in base.get_config().copy_and_resolve_references().items()
    if not hasattr(value, 'items')
  }
  for group, values in base.get_config().items():
    if hasattr(values, 'items'):
      fields |= set(_flat(values, f'{group}.'))
  assert {name for name in fields if not _is_bool(name)} == limited | (
    free - {'network.selective_kernels'}
  )


def _flat(config, prefix):
  for name, value in config.items():
    if hasattr(value, 'items'):
      yield from _flat(value, f'{prefix}{name}.')
    else:
      yield f'{prefix}{name}'


def _is_bool(field):
  return isinstance(constraints.get(base.get_config(), field), bool)


@given(
  batch=st.integers(2, 600),
  devices=st.sampled_from([1, 2, 8]),
  queue=st.integers(1, 600),
)
def test_queue_and_batch_divide_over_the_devices(batch, devices, queue):
  config = _changed(batch_size=batch, semppl__queue=f'{queue} rows')
  config.semppl.num_negatives = 1
  found = _problems(config, device_count=devices)
  named = lambda field: any(f'config.{field}=' in each for each in found)
  assert named('batch_size') == (batch % devices != 0)
  few = queue < -(-batch * 600 // 6000)
  assert named('semppl.queue') == (queue % devices != 0 or few)
