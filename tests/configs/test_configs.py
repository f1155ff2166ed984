"""Every config file loads, is locked, says how it is run and can run."""

import pathlib
import re

import jax
import pytest

from configs import base
from semppl_jax import methods
from semppl_jax.config import loading
from semppl_jax.methods.base import MethodContext
from semppl_jax.protocols import setup
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.training import aot, config_checks, experiment
from semppl_jax.training.train_step import make_train_step, ROWS

FOLDER = pathlib.Path(base.__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob('*.py') if path.stem[0] != '_')
# Train images, classes and labelled images of each data set.
_COUNTS = {
  'imagenet2012': (1_281_167, 1000),
  'cifar10': (50_000, 10),
  'imagenette/160px-v2': (9_469, 10),
  'embedded': (6_000, 10),
}
_LABELLED = {
  'tfds:imagenet2012_subset/10pct': 128_116,
  'tfds:imagenet2012_subset/1pct': 12_811,
  'per_class:400': 4_000,
  'fraction:0.1': 946,
  'per_class:60': 600,
}


def test_the_promised_configs_are_there():
  promised = {'base', 'cifar10_4000', 'imagenette_10pct', 'quickstart'}
  for network in (
    'resnet50',
    'resnet50x2',
    'resnet50x4',
    'resnet200x2',
    'sk_resnet50',
    'sk_resnet200x2',
  ):
    promised |= {f'{network}_1pct', f'{network}_10pct'}
  for network in ('resnet50', 'resnet50x2', 'resnet50x4'):
    promised |= {f'paws_{network}_1pct', f'paws_{network}_10pct'}
  promised |= {'paws_cifar10_4000', 'simclrv2_resnet50_10pct', 'small_batch'}
  for method in set(methods.NAMES) - {'semppl'}:
    promised |= {f'{method}_resnet50_10pct', f'{method}_quickstart'}
    promised |= {f'{method}_small_batch'}
  assert set(NAMES) == promised


@pytest.mark.parametrize('name', NAMES)
def test_a_config_can_run(name):
  config = loading.load(f'configs/{name}.py')
  assert config.is_locked
  kind = config.data.kind
  examples, classes = _COUNTS[config.data.name if kind == 'tfds' else kind]
  cores = _slice(name)
  found = config_checks.problems(
    config,
    device_count=cores,
    process_count=cores // 8,
    examples=examples,
    classes=classes,
    labelled=_LABELLED[config.data.labels],
  )
  assert not found


def _traced():
  """Names for the core tests and, marked, those whose networks take long.

  A 1pct config is its 10pct one with other labels, as a test below says.
  """
  for name in NAMES:
    if name != 'base' and not name.endswith('_1pct'):
      soon = name == 'resnet50_10pct' or name.endswith('quickstart')
      yield pytest.param(name, marks=() if soon else pytest.mark.slow)


@pytest.mark.parametrize('name', list(_traced()))
def test_the_step_of_a_config_traces(name):
  config = experiment.with_classes(loading.load(f'configs/{name}.py'), 10)
  mesh = mesh_lib.make_mesh()
  method = methods.make(
    config, MethodContext(mesh, config.batch_size, 1_000_000)
  )
  step = make_train_step(config, method, mesh, 100, 10)
  state = aot.abstract_state(step)
  batch = aot.abstract_batch(config, mesh, method.support)
  after, metrics = jax.eval_shape(step.train, state, batch)
  assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(
    lambda x: (x.shape, x.dtype), state
  )
  for metric, x in metrics.items():
    rows = (config.batch_size,) if metric.startswith(ROWS) else ()
    assert x.shape[: len(rows)] == rows and (rows or not x.shape), metric


def _slice(name):
  """Cores that the docstring names, or 8."""
  text = (FOLDER / f'{name}.py').read_text()
  match = re.search(r'Hardware: (\d+) TPU v3 cores \(v3:(\d+)x(\d+)\)', text)
  if match is None:
    return 8
  cores, rows, columns = map(int, match.groups())
  assert cores == 2 * rows * columns
  return cores


@pytest.mark.parametrize('name', [n for n in NAMES if n != 'base'])
def test_a_config_opens_with_how_it_is_run(name):
  head = (FOLDER / f'{name}.py').read_text().split('"""')[1]
  command = f'python -m semppl_jax.main --config=configs/{name}.py'
  assert command in head
  for word in ('Hardware: ', 'Hours: ', 'Expected: '):
    assert word in head


@pytest.mark.parametrize('name', [n for n in NAMES if n != 'base'])
def test_a_config_changes_a_few_lines(name):
  body = (FOLDER / f'{name}.py').read_text().split('"""', 2)[2]
  assert len(body.splitlines()) < 60
  changed, parent = (loading.load(f'configs/{n}.py') for n in (name, 'base'))
  assert _fields(changed) == _fields(parent)


def _fields(config, prefix=''):
  return {
    field
    for name, value in config.items()
    for field in (
      _fields(value, f'{prefix}{name}.')
      if hasattr(value, 'items')
      else {f'{prefix}{name}'}
    )
  }


def test_pairs_differ_in_their_labels_alone():
  for name in NAMES:
    if name.endswith('_1pct'):
      one = loading.load(f'configs/{name}.py').to_dict()
      ten = loading.load(f'configs/{name[:-4]}10pct.py').to_dict()
      assert one['data'].pop('labels') != ten['data'].pop('labels')
      assert one == ten


@pytest.mark.parametrize('name', ['base', 'quickstart'])
def test_an_evaluation_loads_and_is_possible(name):
  config = loading.load(f'configs/evaluate/{name}.py')
  assert config.is_locked and not setup.config_problems(config)
  text = (FOLDER / 'evaluate' / f'{name}.py').read_text()
  assert f'--config=configs/evaluate/{name}.py' in text


def test_the_quick_evaluation_tries_two_rates_at_most():
  config = loading.load('configs/evaluate/quickstart.py')
  for recipe in setup.RECIPES:
    rates, decays = config[recipe].learning_rates, config[recipe].weight_decays
    assert len(rates) * len(decays) <= 2
