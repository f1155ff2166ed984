"""Images, views, neighbours and maps of a real run."""

import re
import shutil

import jax
import numpy as np
import pytest

from semppl_jax.report import (
  build,
  embeddings,
  run_inputs as run_inputs_lib,
  run_record as run_record_lib,
)
from semppl_jax.report.components import Figure
from semppl_jax.training import loop
from tests.helpers import tiny


@pytest.fixture(scope='module')
def run(images, tmp_path_factory):
  """A finished run on its own images; read only."""
  root = tmp_path_factory.mktemp('shown')
  own = root / 'images'
  shutil.copytree(images, own)
  config = tiny.config(own, 12)
  config.eval.baselines = True
  loop.run(config, root / 'run', jax.devices()[:1])
  return root / 'run', own


def _record(path):
  (record,) = run_record_lib.read_all([path])
  return record


def _sections(text):
  """The parts of a page by their key."""
  parts = re.split(r'<section id="(\w+)">', text)
  return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.slow
def test_every_section_shows_something(run):
  path, _ = run
  text = build.page([_record(path)])
  sections = _sections(text)
  assert 'This part failed' not in text
  for key in ('learning', 'pseudo', 'space', 'time'):
    assert sections[key].count('<svg') >= 2, key
  for title in ('PCA of the features', 't-SNE of the features'):
    assert title in sections['space']
  # Of 12 images each, the image, two large views and a small one.
  assert sections['sight'].count('data:image/webp') == 3 * 4
  assert sections['alike'].count('<h4>') > 10
  assert len(text) < 2e6


@pytest.mark.slow
def test_neighbours_that_voted_are_labelled_and_positives_share_the_label(run):
  record = _record(run[0])
  inputs = run_inputs_lib.load(record)
  labels = inputs.splits.train.labels
  seen = 0
  for line in record.pseudo_labels:
    assert not inputs.labelled[line['index']].any()
    np.testing.assert_array_equal(line['true'], labels[line['index']])
    for place, voters in enumerate(line['voters']):
      images = [image for image, _ in voters]
      assert inputs.labelled[images].all()
      votes = [n for _, n in voters]
      assert votes == sorted(votes, reverse=True)
      for positive in line['positives'][place]:
        assert inputs.labelled[positive]
        assert labels[positive] == line['label'][place]
        seen += 1
  assert seen > 20


@pytest.mark.slow
def test_a_run_without_a_checkpoint_shows_what_there_is(run, tmp_path):
  path, _ = run
  going_on = tmp_path / 'run'
  shutil.copytree(path, going_on, ignore=shutil.ignore_patterns('checkpoints'))
  (going_on / 'summary.json').unlink()
  sections = _sections(build.page([_record(going_on)]))
  assert 'not a complete checkpoint' in sections['space']
  assert sections['sight'].count('data:image/webp') == 12
  assert 'voted' in sections['alike']


@pytest.mark.slow
@pytest.mark.parametrize('change', ['gone', 'other'])
def test_data_that_is_gone_or_has_changed(run, tmp_path, change):
  path, own = run
  copied = tmp_path / 'run'
  shutil.copytree(path, copied)
  elsewhere = tmp_path / 'images'
  if change == 'other':
    shutil.copytree(own, elsewhere)
    next((elsewhere / 'train' / 'bright').iterdir()).unlink()
  config = copied / 'config.json'
  config.write_text(config.read_text().replace(str(own), str(elsewhere)))
  sections = _sections(build.page([_record(copied)]))
  words = {'gone': 'The data cannot be read', 'other': 'The data has changed'}
  for key in ('sight', 'alike', 'space'):
    assert words[change] in sections[key]
  assert '<svg' in sections['learning']


@pytest.mark.slow
def test_images_that_cannot_be_read_are_left_out(run, tmp_path):
  path, own = run
  copied, elsewhere = tmp_path / 'run', tmp_path / 'images'
  shutil.copytree(path, copied)
  shutil.copytree(own, elsewhere)
  for file in [*(elsewhere / 'train').rglob('*.png')][::2]:
    file.write_bytes(b'no image')
  config = copied / 'config.json'
  config.write_text(config.read_text().replace(str(own), str(elsewhere)))
  text = build.page([_record(copied)])
  assert 'This part failed' not in text
  assert 't-SNE of the features' in text


@pytest.mark.slow
@pytest.mark.parametrize('method', ['paws', 'simclr', 'supervised'])
def test_pages_of_other_methods(images, run, tmp_path, method):
  config = tiny.config(images, 4, method)
  if method != 'paws':
    config.views.small.count = 0
  loop.run(config, tmp_path / method, jax.devices()[:1])
  text = build.page(run_record_lib.read_all([run[0], tmp_path / method]))
  sections = _sections(text)
  assert 'This part failed' not in text
  assert 't-SNE of the features' in sections['space']
  assert f'{method}, finished at step 4' in sections['learning']
  assert '"semppl"' in sections['particulars']
  if method == 'paws':
    assert sections['pseudo'].count('Confusion matrix') >= 2


@pytest.mark.slow
def test_figures_of_the_maps_carry_every_image(run):
  record = _record(run[0])
  inputs = run_inputs_lib.load(record)
  embedder = run_inputs_lib.Embedder(inputs, run_inputs_lib.weights(record))
  train_set = inputs.splits.train
  found = embedder.sample(train_set, np.arange(train_set.size), 60.0)
  assert found is not None
  np.testing.assert_array_equal(np.sort(found.index), np.arange(48))
  np.testing.assert_array_equal(found.label, train_set.labels[found.index])
  for block in embeddings.maps(inputs, found):
    assert isinstance(block, Figure)
    assert len(block.data['x']) == 48
    assert sum(block.data['labelled']) == 12
