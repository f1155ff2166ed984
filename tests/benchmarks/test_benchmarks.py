"""The scripts of benchmarks/ still fit the code that they drive."""

import importlib.util
import pathlib
import sys

from absl import flags
import numpy as np
from PIL import Image
import pytest

from semppl_jax.training import config_checks

ROOT = pathlib.Path(__file__).resolve().parents[2]


def _load(name):
  """Imports a script; the flags that it defines are put away again."""
  before = {flag: flags.FLAGS[flag] for flag in flags.FLAGS}
  own = ('out', 'seeds', 'duration', 'arms', 'runs', 'seconds', 'rows')
  for flag in (*own, 'network', 'row'):
    if flag in before:
      delattr(flags.FLAGS, flag)
  try:
    return _imported(name)
  finally:
    for flag in set(flags.FLAGS) - set(before):
      delattr(flags.FLAGS, flag)
    for flag in before:
      if flag not in flags.FLAGS:
        flags.FLAGS[flag] = before[flag]
      elif flags.FLAGS[flag] is not before[flag]:
        delattr(flags.FLAGS, flag)
        flags.FLAGS[flag] = before[flag]


def _imported(name):
  path = ROOT / 'benchmarks' / f'{name}.py'
  spec = importlib.util.spec_from_file_location(name, path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


sys.path.insert(0, str(ROOT / 'benchmarks'))  # They import each other.
learns = _load('learns')


@pytest.mark.parametrize('variant', learns.VARIANTS)
def test_every_variant_of_learns_is_a_possible_config(variant):
  config = learns.make_config(variant, seed=2, duration='100 steps')
  assert config.seed == config.data.labels_seed == 2
  assert config.eval.every == config.duration == '100 steps'
  assert not config_checks.problems(
    config,
    device_count=1,
    process_count=1,
    examples=6000,
    classes=10,
    labelled=600,
  )


def test_the_table_has_mean_and_deviation():
  summary = lambda score, right: {
    'knn_k': 20,
    'pseudo_label_accuracy': right,
    'knn': {
      'knn/encoder/labelled/k20': score,
      'knn/pixels/labelled/k20': 0.3,
    },
  }
  results = {
    'one': [summary(0.4, 0.2), summary(0.42, 0.3)],
    'other': [summary(0.5, None)],
  }
  lines = learns.table(results).splitlines()
  assert lines[0].startswith('|  | encoder, 600 |')
  assert lines[2] == '| raw pixels | 30.0 ± 0.0 |  |  |  |  |'
  assert lines[4] == '| one | 41.0 ± 1.4 |  |  |  | 25.0 ± 7.1 |'
  assert lines[5] == '| other | 50.0 |  |  |  |  |'


def test_the_table_of_finetunes_puts_the_labels_alone_beside():
  def figures(top1):
    names = ('knn/labelled/k20/top1', 'knn/train/k20/top1')
    return {
      'knn': dict.fromkeys(names, 0.5),
      'finetune': {'finetune/top1': top1},
    }

  def both(ours, theirs):
    ours, theirs = figures(ours), figures(theirs)
    return {
      name: {'figures': ours[name], 'baseline': theirs[name]} for name in ours
    }

  finetunes = _load('finetunes')
  lines = finetunes.table([both(0.5, 0.4), both(0.52, 0.4)]).splitlines()
  assert lines[2] == '| SemPPL | 51.0 ± 1.4 | 50.0 ± 0.0 | 50.0 ± 0.0 |'
  assert lines[3] == '| labels only | 40.0 ± 0.0 | 50.0 ± 0.0 | 50.0 ± 0.0 |'


def test_saliency_is_judged_on_a_folder_of_pairs(tmp_path):
  saliency = _load('saliency')
  (tmp_path / 'images').mkdir()
  (tmp_path / 'masks').mkdir()
  image = np.full((40, 50, 3), 60, np.uint8)
  image[5:15, 8:18] = (220, 200, 40)
  mask = np.where(image[..., 0] > 100, 200, 100).astype(np.uint8)
  for name in ('2', '11'):
    Image.fromarray(image).save(tmp_path / 'images' / f'{name}.jpg', quality=95)
    Image.fromarray(mask).save(tmp_path / 'masks' / f'{name}.png')
  pairs = saliency.load(tmp_path)
  assert len(pairs) == 2
  np.testing.assert_array_equal(pairs[0].truth, mask > 127)
  figures = {
    name: saliency.evaluate(detector, pairs, 1)
    for name, detector in saliency.rows(None).items()
  }
  assert figures['mean']['max_f'] > 0.95 > figures['centre']['max_f']
  assert figures['mean']['images'] == 2
  assert figures['mean']['milliseconds'] > 0
  figures = {'one': figures['mean'] | {'max_f': 0.7251, 'error': 0.1839}}
  figures['one']['milliseconds'] = 64.6
  lines = saliency.table(figures).splitlines()
  assert lines[0] == '|  | max F | mean absolute error | ms per image |'
  assert lines[2] == '| one | 0.725 | 0.184 | 65 |'


def test_an_image_without_a_mask_is_one_sentence(tmp_path):
  saliency = _load('saliency')
  (tmp_path / 'images').mkdir()
  (tmp_path / 'images' / '1.jpg').touch()
  with pytest.raises(ValueError, match=r'has 1 images, of which 1 .*\.$'):
    saliency.load(tmp_path)


def test_input_rows_make_views_of_photographs(tmp_path):
  script = _load('input_pipeline')
  rows = script.input_rows
  for name in ('a', 'b'):
    (tmp_path / name).mkdir()
    for number in range(20):
      pixels = np.full((300, 260, 3), number, np.uint8)
      Image.fromarray(pixels).save(tmp_path / name / f'{number}.jpg')
  for name in (rows.ALONE, rows.PILLOW, 'Pillow, and colors'):
    stream, images = rows.ROWS[name](str(tmp_path), 1)
    made = next(stream)
    assert images == 1
    if name != rows.ALONE:
      assert [x.shape[0] for x in made] == [224] * 4 + [96] * 2
  for fields in ({}, {'data.crops': 'device'}):
    stream, images = rows._pipeline(fields)(str(tmp_path), 1)
    assert len(next(stream).batch.index) == images == rows.BATCH


def test_the_table_of_the_input_pipeline_has_multiples():
  script = _load('input_pipeline')
  rows = script.input_rows
  one = {rows.ALONE: 1.0, 'bicubic': 3.0, rows.PILLOW: 6.0}
  lines = script.table({'one core': one, 'two cores': {'bicubic': 1.5}})
  assert lines.splitlines()[3] == (
    '| bicubic | 3.00 | 3.00 | 0.50 | 2.00 times faster |'
  )


def test_labels_saved_shows_intervals_and_paired_gains():
  labels_saved = _load('labels_saved')
  assert labels_saved.interval(np.array([0.5, 0.5])) == '50.0 ± 0.0'
  # Student's t for two values: 12.7 times the standard error of 1 point.
  assert labels_saved.interval(np.array([0.51, 0.53])) == '52.0 ± 12.7'
  draws = [
    dict.fromkeys(labels_saved.METHODS, x) | {'propagation': x + 0.1}
    for x in (0.4, 0.6)
  ]
  (_, _, row) = labels_saved.table({'2': draws}).splitlines()
  assert row.endswith('| +10.0 ± 0.0 |')
