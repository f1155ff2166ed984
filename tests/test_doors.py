"""Who may import whom: the rooms of the house and their doors."""

import ast
import pathlib
import re
import subprocess
import sys

import pytest

import semppl_jax

ROOT = pathlib.Path(semppl_jax.__file__).resolve().parent.parent
# From the highest to the lowest: a room imports from rooms after it alone, and
# rooms on one line do not know each other.
ROOMS = (
  ('tools',),
  ('report', 'saliency', 'labelling'),
  ('protocols',),
  ('training',),
  ('exchange',),
  ('evaluators',),
  ('methods',),
  ('data',),
  ('models',),
  ('optim', 'losses'),
  ('config',),
  ('runtime',),
)
RANK = {room: rank for rank, level in enumerate(ROOMS) for room in level}
COMMANDS = (
  'evaluate', 'export', 'import_weights', 'main', 'predict', 'select',
)  # fmt: skip
# Pure functions of arrays.
MATHS = (
  'losses', 'optim.schedules', 'methods.memory_bank', 'methods.knn',
  'data.device.augment', 'data.device.color_ops',
)  # fmt: skip
# Modules that stand beside the methods of the table and may be shared.
NO_METHOD = (
  'base', 'knn', 'memory_bank', 'pairwise_contrast', 'requirements',
)  # fmt: skip


def _modules():
  """Names of all modules, with their syntax trees."""
  return {
    '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix(
      '.__init__'
    ): ast.parse(path.read_text())
    for folder in ('semppl_jax', 'configs')
    for path in (ROOT / folder).rglob('*.py')
  }


MODULES = _modules()


def _imports(tree, *, at_import_time=False):
  """Dotted names that a module imports; all, or those outside functions."""
  for node in _nodes(tree, at_import_time):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      assert not node.level, 'imports are absolute'
      for alias in node.names:
        full = f'{node.module}.{alias.name}'
        yield full if full in MODULES else node.module


def _nodes(tree, at_import_time):
  for node in ast.iter_child_nodes(tree):
    if at_import_time and isinstance(
      node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    ):
      continue
    if (
      at_import_time
      and isinstance(node, ast.If)
      and (ast.unparse(node.test) == 'TYPE_CHECKING')
    ):
      continue
    yield node
    yield from _nodes(node, at_import_time)


def _is_program(tree):
  return any(
    isinstance(node, ast.Constant) and node.value == '__main__'
    for node in ast.walk(tree)
  )


def _within(name, *rooms):
  return any(name == room or name.startswith(f'{room}.') for room in rooms)


def _rooms(*names):
  return tuple(f'semppl_jax.{name}' for name in names)


def _outside(tree):
  """Imported packages beyond the standard library and this project."""
  tops = {name.split('.')[0] for name in _imports(tree)}
  return tops - set(sys.stdlib_module_names) - {'semppl_jax', 'configs'}


def _inside(tree):
  return {name for name in _imports(tree) if _within(name, 'semppl_jax')}


def _in(*rooms):
  return [name for name in sorted(MODULES) if _within(name, *_rooms(*rooms))]


def _room(name):
  return name.split('.')[1] if name.count('.') else ''


@pytest.mark.parametrize('name', _in(*RANK))
def test_imports_go_one_way(name):
  room = _room(name)
  for other in _inside(MODULES[name]):
    there = _room(other)
    if there and there != room:
      assert there in RANK, f'{name} imports the command {other}'
      assert RANK[there] > RANK[room], f'{name} imports {other}'


def test_only_commands_stand_beside_the_rooms():
  folder = ROOT / 'semppl_jax'
  assert {path.stem for path in folder.glob('*.py')} == {'__init__', *COMMANDS}
  rooms = {path.parent.name for path in folder.glob('*/__init__.py')}
  assert rooms == set(RANK)


@pytest.mark.parametrize('name', _in(*MATHS))
def test_mathematics_imports_jax_alone(name):
  allowed = {'jax', 'jaxtyping', 'optax', 'chex', 'ml_collections', 'numpy'}
  assert _outside(MODULES[name]) <= allowed
  assert all(
    _within(x, *_rooms(*MATHS, 'config')) for x in _inside(MODULES[name])
  )


@pytest.mark.parametrize('name', sorted(MODULES))
def test_haiku_stays_with_the_networks(name):
  if 'haiku' in _outside(MODULES[name]):
    assert _within(name, *_rooms('models', 'saliency.network'))


@pytest.mark.parametrize('name', sorted(MODULES))
def test_tensorflow_stays_with_the_data(name):
  if _outside(MODULES[name]) & {'tensorflow', 'tensorflow_datasets'}:
    assert _within(
      name,
      *_rooms(
        'data',
        'training.metric_writer',
        'training.profile_scopes',
        'exchange.to_saved_model',
        'saliency.mask_store',
      ),
    )


def test_only_reading_images_loads_tensorflow():
  """All other rooms work where only JAX is installed."""
  names = [
    name
    for name, tree in MODULES.items()
    # Two programs in one process would define the same flags.
    if not _within(name, *_rooms('data', 'saliency.mask_store'))
    and not _is_program(tree)
  ]
  program = (
    'import importlib, sys\n'
    f'for name in {sorted(names)!r}:\n'
    '  importlib.import_module(name)\n'
    '  assert "tensorflow" not in sys.modules, name\n'
  )
  done = subprocess.run(
    [sys.executable, '-c', program],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr


OPTIONAL = {
  'apache_beam', 'jax2onnx', 'onnx', 'onnxruntime', 'timm', 'torch',
  'torchvision',
}  # fmt: skip


@pytest.mark.parametrize('name', sorted(MODULES))
def test_what_is_optional_or_slow_is_imported_where_it_is_used(name):
  imported = {
    x.split('.')[0] for x in _imports(MODULES[name], at_import_time=True)
  }
  slow = {'matplotlib', 'scipy', 'skimage', 'sklearn'}
  assert not imported & (OPTIONAL | slow) or (
    name == 'semppl_jax.evaluators.corruptions'
  )


def _with_all_they_need(*names):
  """Modules, and those of this project that they import in turn."""
  found, left = set(), [f'semppl_jax.{name}' for name in names]
  while left:
    name = left.pop()
    if name not in found:
      found.add(name)
      left += _inside(MODULES[name])
  return sorted(found)


@pytest.mark.parametrize('name', _with_all_they_need('saliency.detectors'))
def test_saliency_detectors_need_no_framework(name):
  assert _outside(MODULES[name]) <= {'numpy', 'scipy', 'skimage', 'PIL'}


@pytest.mark.parametrize('name', _in('exchange'))
def test_exchange_knows_no_training(name):
  rooms = _rooms('methods', 'training', 'protocols')
  assert not [x for x in _inside(MODULES[name]) if _within(x, *rooms)]


@pytest.mark.parametrize('name', _in('data'))
def test_data_knows_no_network(name):
  rooms = _rooms('models', 'losses', 'optim')
  assert not [x for x in _inside(MODULES[name]) if _within(x, *rooms)]


@pytest.mark.parametrize('name', _in('saliency'))
def test_saliency_knows_no_method_and_no_training(name):
  rooms = _rooms('methods', 'training', 'evaluators', 'protocols')
  assert not [x for x in _inside(MODULES[name]) if _within(x, *rooms)]


@pytest.mark.parametrize('name', _in('methods'))
def test_methods_do_not_know_each_other(name):
  if name == 'semppl_jax.methods':
    return  # The table names them all.
  others = [
    x
    for x in _inside(MODULES[name])
    if _within(x, *_rooms('methods')) and x.split('.')[-1] not in NO_METHOD
  ]
  assert not others
  doors = _rooms(
    'losses',
    'methods',
    'models.network',
    'data.batch',
    'runtime.mesh',
    'config',
  )
  assert all(_within(x, *doors) for x in _inside(MODULES[name]))


def test_the_step_knows_no_method_by_name():
  methods = {
    x
    for x in _inside(MODULES['semppl_jax.training.train_step'])
    if 'methods' in x
  }
  assert methods <= {'semppl_jax.methods.base'}
  names = [x.split('.')[-1] for x in _in('methods')]
  text = (ROOT / 'semppl_jax' / 'training' / 'train_step.py').read_text()
  for name in set(names) - {'methods', *NO_METHOD}:
    assert name not in text.replace('semppl_jax', '')


@pytest.mark.parametrize('name', _in('models.backbones'))
def test_backbones_know_only_each_other(name):
  assert all(
    _within(x, *_rooms('models.backbones')) for x in _inside(MODULES[name])
  )


@pytest.mark.parametrize('name', ['models.network'])
def test_networks_know_no_training(name):
  doors = _rooms('models.backbones', 'losses')
  assert all(_within(x, *doors) for x in _inside(MODULES[f'semppl_jax.{name}']))


@pytest.mark.parametrize('name', _in('evaluators'))
def test_evaluators_know_no_training(name):
  rooms = _rooms('training', 'protocols', 'exchange')
  assert not [x for x in _inside(MODULES[name]) if _within(x, *rooms)]


@pytest.mark.parametrize(
  'name', [name for name in sorted(MODULES) if _within(name, 'configs')]
)
def test_configs_import_ml_collections_alone(name):
  assert _outside(MODULES[name]) <= {'ml_collections'}
  assert not _inside(MODULES[name])


def test_no_import_goes_in_a_circle():
  graph = {
    name: {
      x
      for x in _imports(tree, at_import_time=True)
      if x in MODULES and x != name
    }
    for name, tree in MODULES.items()
  }
  while graph:
    leaves = {name for name, needs in graph.items() if not needs & set(graph)}
    assert leaves, f'in a circle, or leading to one: {sorted(graph)}'
    graph = {name: x for name, x in graph.items() if name not in leaves}


@pytest.mark.parametrize('name', sorted(MODULES))
def test_files_stay_small_and_named_by_their_idea(name):
  last = name.split('.')[-1]
  assert last not in ('utils', 'helpers', 'common', 'misc')
  path = ROOT.joinpath(*name.split('.'))
  path = path / '__init__.py' if path.is_dir() else path.with_suffix('.py')
  assert len(path.read_text().splitlines()) <= 400


def test_no_document_has_a_gap():
  """Figures that are to be filled in are written @LIKE_THIS@ meanwhile."""
  for path in (*ROOT.glob('*.md'), *ROOT.glob('configs/**/*.py')):
    assert not re.findall(r'@[A-Z_]+@', path.read_text()), path


@pytest.mark.parametrize('room', RANK)
def test_every_module_has_a_test_file_by_its_name(room):
  modules = {
    path.stem for path in (ROOT / 'semppl_jax' / room).glob('[!_]*.py')
  }
  tests = {
    path.stem.removeprefix('test_')
    for path in (ROOT / 'tests' / room).glob('test_*.py')
  }
  assert not modules - tests
