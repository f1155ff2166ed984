"""Test sets of ImageNet classifiers, prepared with a few images each."""

import types

import ml_collections
import numpy as np
import pytest

from configs import quickstart
from semppl_jax.data.dataset import Dataset
from semppl_jax.evaluators import imagenet_subsets, metrics, robustness_sets
from semppl_jax.evaluators.features import Features
from semppl_jax.protocols import robustness, setup
from semppl_jax.runtime.errors import InputError


class _Oracle:
  """A classifier that is right but for the images of some severities."""

  def __init__(self):
    self.whole = {}

  def features(self, data, rows, change=None, *, whole=False):
    self.whole[data.name] = whole
    classes = imagenet_subsets.subset(data.source)
    first = classes.columns[classes.starts]
    logits = np.zeros((len(rows), imagenet_subsets.CLASSES), np.float32)
    label = data.labels[rows]
    right = label if not data.name.endswith('/5') else (label + 1) % 2
    logits[np.arange(len(rows)), first[right]] = 1.0
    return Features({'logits': logits}, label, rows)


def _context(**fields):
  config = ml_collections.ConfigDict(
    dict(robustness=dict(sets='', path='/data', corruptions=False) | fields)
  )
  run = quickstart.get_config()
  return types.SimpleNamespace(config=config, run=run, classes=1000)


def _set(name, subset, labels):
  ids = np.array([str(n) for n in range(len(labels))])
  names = ('a', 'b')
  return Dataset(name, ids, np.array(labels, np.int32), names, subset)


@pytest.fixture
def loaded(monkeypatch):
  def load(name, data_dir):
    assert data_dir == '/data'
    described = robustness_sets.SETS[name]
    for variant in described.variants or ('',):
      full = f'{name}/{variant}'
      yield variant, _set(full, described.subset, [0, 1, -1, 1])

  monkeypatch.setattr(robustness_sets, 'load', load)
  monkeypatch.setattr(robustness_sets, 'absent', lambda name, data_dir: '')


def test_every_set_is_judged_by_its_own_classes(loaded):
  model = _Oracle()
  figures = robustness.run(_context(), model)
  top1 = {k: v for k, v in figures.items() if k.endswith('/top1')}
  assert set(top1.values()) == {1.0}
  for name in ('imagenet_r', 'imagenet_a', 'imagenet_sketch', 'objectnet'):
    assert f'robustness/{name}/top1' in top1
  assert sum('imagenet_v2' in name for name in top1) == 3


def test_corruptions_are_summed_over_severities_against_alexnet(loaded):
  model = _Oracle()
  figures = robustness.run(_context(sets='imagenet_c'), model)
  # Wrong at severity 5 alone: one of five.
  errors = np.array(list(metrics.ALEXNET_ERROR.values()))
  assert figures['robustness/imagenet_c/mean_error'] == pytest.approx(0.2)
  assert figures['robustness/imagenet_c/mce'] == pytest.approx(
    np.mean(1 / (5 * errors))
  )
  assert set(model.whole.values()) == {True}


def test_sets_of_imagenet_need_its_classes(loaded):
  context = _context(sets='imagenet_r')
  context.classes = 10
  with pytest.raises(InputError, match=r'1000 classes of ImageNet, .* has 10'):
    robustness.selected(context)


def test_a_set_that_is_unknown_or_not_prepared_is_named(tmp_path):
  problems = {'imagenet_x': 'must be one of', 'imagenet_r': 'unprepared'}
  for asked, sentence in problems.items():
    with pytest.raises(InputError, match=f'robustness.sets=.*{sentence}'):
      setup.select_sets(
        'robustness.sets', asked, robustness_sets, str(tmp_path)
      )
  found = setup.select_sets(
    'robustness.sets', '', robustness_sets, str(tmp_path)
  )
  assert found == []
