"""Configs, equal terms and budgets: what is refused before anything runs."""

import json
import pathlib

import pytest

import semppl_jax
from semppl_jax import methods
from semppl_jax.config.loading import ConfigError
from semppl_jax.tools.comparison import budget, experiments, fairness

ROOT = pathlib.Path(semppl_jax.__file__).resolve().parent.parent
QUICK = 'configs/quickstart.py'
SIMCLR = 'configs/simclr_quickstart.py'
SUPERVISED = 'configs/supervised_quickstart.py'


@pytest.fixture
def config_file(tmp_path):
  """Writes the quick start with other fields; returns its path."""

  def write(name, **fields):
    path = tmp_path / f'{name}.py'
    dotted = {field.replace('__', '.'): x for field, x in fields.items()}
    path.write_text(
      'from configs import quickstart\n'
      'def get_config():\n'
      '  c = quickstart.get_config().unlock()\n'
      f'  c.update_from_flattened_dict({dotted!r})\n'
      '  return c\n'
    )
    return str(path)

  return write


def test_entries_have_the_names_of_their_files_and_share_overrides():
  loaded = experiments.load(
    [QUICK, SIMCLR], ['batch_size=32', 'augment.hue=0.2']
  )
  assert [x.name for x in loaded] == ['quickstart', 'simclr_quickstart']
  assert [x.file for x in loaded] == [QUICK, SIMCLR]
  assert [x.config.method for x in loaded] == ['semppl', 'simclr']
  for entry in loaded:
    assert (entry.config.batch_size, entry.config.augment.hue) == (32, 0.2)


@pytest.mark.parametrize(
  ('files', 'overrides', 'message'),
  [
    ([], [], '--configs=FILE,FILE is missing'),
    (
      ['configs/quikstart.py'],
      [],
      r'--configs=configs/quikstart\.py not found',
    ),
    ([QUICK], ['batchsize=8'], r"--set=batchsize: .*did you mean 'batch_size'"),
    ([QUICK], ['batch_size'], r'--set=batch_size must be a field and a value'),
    ([QUICK, f'./{QUICK}'], [], "both are called 'quickstart'"),
  ],
)
def test_what_cannot_be_loaded_is_one_sentence(files, overrides, message):
  with pytest.raises(ConfigError, match=message) as error:
    experiments.load(files, overrides)
  assert '\n' not in str(error.value)


def test_a_run_has_its_seed_for_the_labels_too_and_evaluations_that_fit():
  entry = experiments.load([QUICK])[0]
  before = entry.config.to_json()
  config = experiments.run_config(entry, seed=5, steps=100, every=13)
  assert (config.seed, config.data.labels_seed) == (5, 5)
  assert (config.duration, config.eval.every) == ('100 steps', '13 steps')
  assert not config.eval.baselines
  assert entry.config.to_json() == before


def test_every_quick_start_is_on_equal_terms():
  files = [f'configs/{x.name}' for x in ROOT.glob('configs/*quickstart.py')]
  loaded = experiments.load(files)
  assert {x.config.method for x in loaded} >= set(methods.NAMES)
  assert fairness.check(loaded, []) == []


def test_the_methods_own_fields_may_differ_and_are_told():
  loaded = experiments.load([QUICK, SIMCLR, SUPERVISED])
  assert fairness.check(loaded, []) == []
  assert fairness.own(loaded) == [
    fairness.Difference(
      'data.labelled_per_batch',
      {'quickstart': 16, 'simclr_quickstart': 16, 'supervised_quickstart': 64},
    )
  ]


def test_of_one_method_twice_its_own_group_is_told(config_file):
  loaded = experiments.load(
    [QUICK, config_file('kl', semppl__invariance='kl', simclr__temperature=9.0)]
  )
  assert fairness.check(loaded, []) == []
  assert [x.field for x in fairness.own(loaded)] == ['semppl.invariance']


def test_unequal_terms_are_one_sentence_each(config_file):
  other = config_file('other', batch_size=32, views__large__area=(0.2, 1.0))
  loaded = experiments.load([QUICK, SIMCLR, other])
  with pytest.raises(ConfigError) as error:
    fairness.check(loaded, [])
  assert str(error.value).splitlines() == [
    f'config.batch_size is 64 in {QUICK} and {SIMCLR}, and 32 in {other}.',
    f'config.views.large.area is [0.5, 1.0] in {QUICK} and {SIMCLR}, and'
    f' [0.2, 1.0] in {other}.',
    'Make them equal (--set=FIELD=VALUE sets all), or'
    ' --allow=batch_size,views.large.area.',
  ]


@pytest.mark.parametrize(
  'field,value',
  [
    ('data.labels', 'per_class:6'),
    ('data.threads', 1),
    ('network.backbone', 'resnet18'),
    ('network.bn_decay', 0.5),
    ('views.small.count', 1),
    ('augment.hue', 0.2),
    ('saliency.probability', 0.5),
    ('eval.temperature', 0.5),
    ('probe.learning_rate', 0.5),
    ('batch_size', 32),
    ('accumulate', 2),
    ('init_from', 'somewhere'),
  ],
)
def test_every_term_is_held(config_file, field, value):
  other = config_file('other', **{field.replace('.', '__'): value})
  loaded = experiments.load([QUICK, other])
  with pytest.raises(ConfigError, match=f'^config.{field} is '):
    fairness.check(loaded, [])
  group = field.partition('.')[0]
  for allow in ([field], [group]):
    found = fairness.check(loaded, allow)
    assert [(x.field, x.values['other']) for x in found] == [(field, value)]


@pytest.mark.parametrize(
  'field,value',
  [
    ('data.labelled_per_batch', 32),
    ('data.labels_seed', 4),
    ('network.projector.hidden', 64),
    ('network.predictor.hidden', 64),
    ('network.prototypes', 10),
    ('network.classifier.input', 'projector_hidden'),
    ('eval.every', '7 steps'),
    ('eval.baselines', False),
    ('seed', 4),
    ('duration', '7 steps'),
    ('optimizer.learning_rate', 1.0),
    ('ema.decay', 0.5),
  ],
)
def test_what_is_no_term_may_differ(config_file, field, value):
  other = config_file('other', **{field.replace('.', '__'): value})
  assert fairness.check(experiments.load([QUICK, other]), []) == []


def test_what_is_allowed_is_a_field(config_file):
  loaded = experiments.load([QUICK, SIMCLR])
  message = r"--allow=batchsize is not a field.*did you mean 'batch_size'\?"
  with pytest.raises(ConfigError, match=message):
    fairness.check(loaded, ['batchsize'])
  with pytest.raises(ConfigError, match='--allow=batch is not a field'):
    fairness.check(loaded, ['batch'])


def test_how_the_page_judges_may_never_differ(config_file):
  other = config_file('other', eval__headline_k=10)
  with pytest.raises(ConfigError) as error:
    fairness.check(experiments.load([QUICK, other]), ['eval'])
  assert 'eval.headline_k is 20 in' in str(error.value)
  assert '--allow' not in str(error.value)


def test_budgets():
  assert budget.parse('4000 steps') == (4000, 'steps')
  assert budget.parse('1 step') == (1, 'steps')
  assert budget.parse(' 0.5  minutes ') == (0.5, 'minutes')
  assert str(budget.parse('2000000 steps')) == '2000000 steps'
  assert str(budget.parse('0.5 minutes')) == '0.5 minutes'


@pytest.mark.parametrize(
  'text',
  ['10 hours', '0 steps', '0 minutes', 'abc', '', None, '1.5 steps', '-1 steps',
   '4000', '4000 steps or so'],
)  # fmt: skip
def test_what_is_no_budget_is_one_sentence(text):
  with pytest.raises(ConfigError) as error:
    budget.parse(text)
  assert str(error.value) == (
    f'--budget={text or ""} must be a number above 0 of steps or minutes, as in'
    " --budget='4000 steps' or --budget='10 minutes'."
  )


@pytest.mark.parametrize('steps', [1, 4, 7, 8, 9, 4000, 4005])
def test_evaluations_are_as_many_as_asked_at_most_and_evenly_spaced(steps):
  every = budget.eval_every(steps, 8)
  at = {*range(every, steps + 1, every), steps}
  assert len(at) <= 8
  if steps % 8 == 0:
    assert len(at) == 8


def test_minutes_become_whole_periods_of_evaluation():
  assert budget.steps_in(10, 101.9, 8) == 1016
  assert budget.steps_in(0.01, 10, 8) == 8


def test_steps_of_minutes_are_measured_once(tmp_path):
  ten = budget.parse('10 minutes')
  first = budget.Lengths(tmp_path / 'out', ten, 8, 1)
  assert not (tmp_path / 'out').exists()
  assert first.known('a') is None
  first.save({'a': first.timed(100.0)})
  again = budget.Lengths(tmp_path / 'out', ten, 8, 1)
  assert again.known('a') == 1000
  assert again.known('b') is None
  again.save({'b': again.timed(50.0)})
  content = json.loads((tmp_path / 'out' / 'budget.json').read_text())
  assert content == {
    'budget': '10 minutes',
    'evaluations': 8,
    'jobs': 1,
    'steps': {'a': 1000, 'b': 496},
  }


@pytest.mark.parametrize('text', ['{"budget', '{"budget": 1}', '[]'])
def test_a_file_of_something_else_is_named(tmp_path, text):
  (tmp_path / 'budget.json').write_text(text)
  with pytest.raises(ConfigError, match=r'budget\.json is not what'):
    budget.Lengths(tmp_path, budget.parse('40 steps'), 8, 1)


def test_a_budget_in_steps_measures_nothing(tmp_path):
  lengths = budget.Lengths(tmp_path, budget.parse('40 steps'), 8, 1)
  assert lengths.known('a') == 40


@pytest.mark.parametrize(
  ('text', 'evaluations', 'jobs', 'message'),
  [
    ('41 steps', 8, 1, "--budget='40 steps'; here it is '41 steps'"),
    ('40 steps', 4, 1, "--evaluations='8'; here it is '4'"),
    ('40 steps', 8, 2, "--jobs='1'; here it is '2'"),
  ],
)
def test_results_of_another_budget_are_left_alone(
  tmp_path, text, evaluations, jobs, message
):
  budget.Lengths(tmp_path, budget.parse('40 steps'), 8, 1).save({'a': 40})
  with pytest.raises(ConfigError, match=message):
    budget.Lengths(tmp_path, budget.parse(text), evaluations, jobs)
