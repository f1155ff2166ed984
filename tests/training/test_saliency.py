"""A run with saliency masks: what it says and logs, and how it goes on."""

import io
import json
import logging
from logging import handlers
import shutil

import jax
import numpy as np
from PIL import Image
import pytest

from semppl_jax.data import masks, pipeline
from semppl_jax.data.sources import tfrecord_numpy
from semppl_jax.report import (
  augmented_views,
  run_inputs as run_inputs_lib,
  run_record as run_record_lib,
)
from semppl_jax.runtime import errors
from semppl_jax.saliency import generate, mask_fn, shards
from semppl_jax.training import checkpoint, experiment as experiment_lib, loop
from tests.helpers import tiny

MAKER = mask_fn.detector_maker('mean', 0.5)


@pytest.fixture(scope='module')
def store(images, tmp_path_factory):
  """Masks of the first 40 of the 48 images."""
  folder = tmp_path_factory.mktemp('store')
  return _store(images, folder, MAKER)


def _store(images, folder, maker):
  train_set = experiment_lib.build(
    tiny.config(images), jax.devices()[:1]
  ).splits.train
  some = train_set.select(np.arange(40))
  facts = generate.begin(str(folder), some, 'tiny', maker)
  results = generate.make_all(shards.split_dataset(some, str(folder)), maker, 1)
  generate.finish(str(folder), facts, results)
  return str(folder)


def _config(images, store):
  config = tiny.config(images, 4)
  config.data.saliency = store
  config.saliency.probability = 0.5
  config.eval.every = '0 steps'
  return config


def _lines(workdir):
  lines = (workdir / 'metrics.jsonl').read_text().splitlines()
  return [x for x in map(json.loads, lines) if 'loss/total' in x]


@pytest.fixture(scope='module')
def messages():
  """What is logged while the tests of this module run."""
  logger = logging.getLogger('semppl_jax')
  handler = handlers.BufferingHandler(10**6)
  level = logger.level
  logger.setLevel(logging.INFO)
  logger.addHandler(handler)
  yield handler.buffer
  logger.removeHandler(handler)
  logger.setLevel(level)


@pytest.fixture(scope='module')
def straight(images, store, messages, tmp_path_factory):
  del messages  # It listens from now on.
  workdir = tmp_path_factory.mktemp('straight')
  loop.run(_config(images, store), workdir, jax.devices()[:1])
  return workdir


def _usable(masks):
  """Images with a mask that is not blank."""
  stored = [
    np.asarray(Image.open(io.BytesIO(x.image)))
    for x in tfrecord_numpy.read_all(masks.source)
  ]
  mixed = np.array([x.min() < x.max() for x in stored])
  return (masks.place >= 0) & mixed[masks.place]


@pytest.mark.slow
def test_the_share_of_missing_masks_is_logged(images, store, straight):
  experiment = experiment_lib.build(_config(images, store), jax.devices()[:1])
  batches = pipeline.train_batches(
    experiment.config, experiment.splits.train, experiment.subset
  )
  usable, shares = _usable(experiment.splits.train.masks), []
  for line, host in zip(_lines(straight), batches, strict=False):
    share = (~usable[host.batch.index]).mean()
    assert line['data/masks_missing'] == share == host.unmasked / 16
    shares.append(share)
  assert len(shares) == 4 and 0 < np.mean(shares) < 0.5


@pytest.mark.slow
def test_a_run_says_how_many_images_have_masks(straight, messages):
  del straight
  said = next(
    text
    for text in (record.getMessage() for record in messages)
    if text.startswith('Saliency masks: ')
  )
  assert said.startswith('Saliency masks: 40 of 48 images have one (')


@pytest.mark.slow
def test_a_run_goes_on_with_the_same_masks_alone(
  images, store, straight, tmp_path, monkeypatch
):
  devices = jax.devices()[:1]
  workdir = tmp_path / 'run'
  with monkeypatch.context() as patched:
    tiny.stop_after(patched, 2)
    assert loop.run(_config(images, store), workdir, devices) is None
  other = _store(
    images, tmp_path / 'other', mask_fn.detector_maker('mean', 0.3)
  )
  for folder in (other, ''):
    with pytest.raises(checkpoint.MismatchError, match='saliency masks'):
      loop.run(_config(images, folder), workdir, devices)
  moved = shutil.copytree(store, tmp_path / 'moved')
  config = _config(images, str(moved))
  loop.run(config, workdir, devices)
  tiny.assert_same(
    *(tiny.final_state(config, x, devices)[1] for x in (straight, workdir))
  )
  assert [x['data/masks_missing'] for x in _lines(workdir)] == [
    x['data/masks_missing'] for x in _lines(straight)
  ]


def test_a_store_that_is_no_store_is_bad_input(images, tmp_path):
  with pytest.raises(errors.InputError, match='not a folder of masks'):
    experiment_lib.build(_config(images, str(tmp_path)), jax.devices()[:1])
  assert not (tmp_path / masks.INFO_FILE).exists()


@pytest.mark.slow
def test_the_report_shows_masks_and_masked_views(images, store, straight):
  (run,) = run_record_lib.read_all([straight])
  gallery, note = augmented_views.blocks(run_inputs_lib.load(run))
  for card in gallery.cards:
    captions = [picture.caption for picture in card.pictures]
    assert captions == [
      'centre crop', 'large view 1', 'large view 2', 'small view 1', 'mask 1',
      'masked view 1', 'masked view 2',
    ]  # fmt: skip
    sources = [picture.source for picture in card.pictures]
    assert len(set(sources)) == len(sources)
  assert 'a large view is masked with chance 0.5' in note.text
