"""Whole runs whose train set the devices hold."""

import json
import subprocess
import sys

import jax
import numpy as np
import pytest

from semppl_jax.runtime.errors import InputError
from semppl_jax.saliency import generate, mask_fn, shards
from semppl_jax.training import experiment, loop, train_iterator
from tests.helpers import tiny


def _config(images, steps=8, method='semppl'):
  c = tiny.config(images, steps, method)
  c.data.backend = 'device'
  return c


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_bit_for_bit(
  images, tmp_path, monkeypatch
):
  config, devices = _config(images, 4), jax.devices()[:1]
  tiny.assert_resumes_the_same(config, tmp_path, monkeypatch, devices, step=3)
  summary = json.loads((tmp_path / 'straight' / 'summary.json').read_text())
  assert summary['steps'] == 4 and summary['knn']


@pytest.mark.slow
@pytest.mark.parametrize('method', ['semppl', 'paws'])
def test_the_device_count_changes_no_number(images, tmp_path, method):
  states = []
  for count in (1, 8):
    config, devices = _config(images, 3, method), jax.devices()[:count]
    loop.run(config, tmp_path / str(count), devices)
    states.append(tiny.final_state(config, tmp_path / str(count), devices)[1])
  tiny.assert_close(*states)


_PROGRAM = """
import pathlib, sys
sys.modules['tensorflow'] = sys.modules['tensorflow_datasets'] = None
sys.path.insert(0, sys.argv[1])
from tests.helpers import tiny
from semppl_jax.training import loop
config = tiny.config(pathlib.Path(sys.argv[2]), 4, sys.argv[4])
config.data.backend = 'device'
config.eval.baselines = True
config.saliency.probability = 0.5
for kind in sys.argv[6:]:
  config.data.update(kind=kind, saliency='')
  if kind == 'folder':
    config.data.saliency = sys.argv[5]
  if kind == 'embedded':
    config.data.update(path='', test_path='', limit=400, labels='per_class:2')
    config.support.update(classes_per_batch=2, images_per_class=2)
  summary = loop.run(config, pathlib.Path(sys.argv[3]) / kind)
  assert summary['steps'] == 4 and summary['knn'], summary
"""


@pytest.mark.slow
def test_without_tensorflow(images, tmp_path):
  """From index to summary, of a folder with masks and of records."""
  store, missing = _store(images, tmp_path / 'masks')
  root = tiny.pathlib.Path(__file__).resolve().parents[2]
  done = subprocess.run(
    [
      sys.executable, '-c', _PROGRAM, str(root), str(images), str(tmp_path),
      'paws', store, 'folder', 'embedded',
    ],
    capture_output=True,
    text=True,
    check=False,
    timeout=500,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  assert not (tmp_path / 'folder' / 'tensorboard').exists()
  lines = (tmp_path / 'folder' / 'metrics.jsonl').read_text().splitlines()
  shares = [json.loads(x).get('data/masks_missing') for x in lines]
  assert missing / 48 in shares
  lines = (tmp_path / 'embedded' / 'metrics.jsonl').read_text().splitlines()
  assert json.loads(lines[-1])['step'] == 4


def _store(images, folder):
  """Masks of 36 of the 48 train images, and how many have none to apply."""
  every = experiment.build(_config(images), jax.devices()[:1]).splits.train
  some, maker = every.select(np.arange(36)), mask_fn.detector_maker('mean', 0.5)
  facts = generate.begin(str(folder), some, 'tiny', maker)
  results = generate.make_all(shards.split_dataset(some, str(folder)), maker, 1)
  counts = generate.finish(str(folder), facts, results).counts
  assert counts is not None
  return str(folder), 12 + counts.background + counts.foreground


def test_unreadable_images_are_counted_and_limited(images, tmp_path):
  root = tmp_path / 'images'
  tiny.write_images(root / 'train')
  tiny.write_images(root / 'test', each=9)
  for n in range(2):
    (root / 'train' / 'dark' / f'{n:02}.png').write_bytes(b'')
  config, devices = _config(root, 2), jax.devices()[:1]
  with pytest.raises(InputError, match='2 unreadable image'):
    train_iterator.make_train_input(experiment.build(config, devices))
  config.data.max_corrupt = 0.1
  summary = loop.run(config, tmp_path / 'lenient', devices)
  assert summary['unreadable_images'] == 2


def test_batches_are_not_the_same_each_step(images, tmp_path):
  """The pool is one and the same, what a step draws from it is not."""
  built = experiment.build(_config(images), jax.devices()[:1])
  state = experiment.initial_state(built)
  pool = train_iterator.make_train_input(built).at(0)
  cut = jax.jit(built.step.views)
  first, second = (
    jax.device_get(cut(pool, state._replace(step=jax.numpy.int32(n))))
    for n in (0, 1)
  )
  assert not np.array_equal(first.index, second.index)
  assert not set(first.index) & set(second.index)  # Of one epoch.
