"""Every method's config in the setting of the quick start, at toy size.

Real images, few steps: the loss falls, embeddings do not collapse, and a run
that was stopped in the middle ends as one that was not.
"""

import json

import jax
import numpy as np
import pytest

from semppl_jax import methods
from semppl_jax.config import loading
from semppl_jax.training import loop
from tests.helpers import tiny

NAMES = {name: f'{name}_quickstart' for name in methods.NAMES}
NAMES['semppl'] = 'quickstart'
STEPS = 24
pytestmark = pytest.mark.slow


def _config(name):
  c = loading.load(f'configs/{NAMES[name]}.py')
  c.batch_size, c.duration, c.log_every = 32, f'{STEPS} steps', '1 steps'
  c.data.update(limit=512, labels='per_class:8', labelled_per_batch=16)
  if name == 'supervised':
    c.data.labelled_per_batch = c.batch_size
  c.views.large.size = c.eval.resize = c.eval.crop = 16
  c.network.projector.update(hidden=64, output=16)
  c.network.predictor.hidden = 64
  c.network.prototypes = 16
  c.support.update(images_per_class=4)
  c.semppl.update(queue='128 rows', num_negatives=8)
  c.relicv2.num_negatives = 8
  # Each passed within the run.
  c.swav.update(queue='64 rows', queue_from='8 steps', freeze='2 steps')
  c.suncet.duration = '100 steps'
  c.optimizer.update(learning_rate=3e-3, warmup='4 steps')
  c.eval.update(every=f'{STEPS} steps', baselines=False)
  c.checkpoint.every = f'{STEPS} steps'
  if name == 'byol':
    c.accumulate = 2  # One of them in parts.
  return c


def _course(workdir, key):
  lines = (workdir / 'metrics.jsonl').read_text().splitlines()
  return [line[key] for line in map(json.loads, lines) if key in line]


@pytest.mark.parametrize('name', methods.NAMES)
def test_it_learns_does_not_collapse_and_resumes(name, tmp_path, monkeypatch):
  config, devices = _config(name), jax.devices()[:1]
  tiny.assert_resumes_the_same(
    config, tmp_path, monkeypatch, devices, STEPS // 2
  )
  loss = _course(tmp_path / 'straight', 'loss/total')
  assert len(loss) == STEPS and np.isfinite(loss).all()
  assert np.mean(loss[-6:]) < np.mean(loss[2:8])
  kind = 'features' if name == 'supervised' else 'projection'
  spread = _course(tmp_path / 'straight', f'deviation/{kind}')
  assert min(spread) > 0.1
  summary = json.loads((tmp_path / 'straight' / 'summary.json').read_text())
  assert summary['knn']['knn/encoder/labelled/k20'] > 0.1


@pytest.mark.parametrize('name', ['paws', 'swav'])
def test_eight_devices_are_one(name, tmp_path):
  """Support batches and feature queues, through the whole loop."""
  config = _config(name)
  config.duration = config.eval.every = config.checkpoint.every = '4 steps'
  config.swav.queue_from = '2 steps'
  # See `tiny.config`: Adam would enlarge rounding.
  config.optimizer.update(
    name='lars', learning_rate=0.01, trust_coefficient=0.1
  )
  states = []
  for count in (1, 8):
    devices = jax.devices()[:count]
    loop.run(config, tmp_path / str(count), devices)
    states.append(tiny.final_state(config, tmp_path / str(count), devices)[1])
  tiny.assert_close(states[0].params, states[1].params)
  tiny.assert_close(states[0].memory, states[1].memory)
