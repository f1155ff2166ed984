"""What the stages of an input pipeline cost."""

import json
import pathlib
import re
import subprocess
import sys

import jax
import pytest

from configs import paws_quickstart, quickstart
from semppl_jax.data import pipeline
from semppl_jax.tools.profiling import input_benchmark
from semppl_jax.training import experiment as experiment_lib

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def config():
  config = quickstart.get_config()
  config.batch_size = 16
  config.data.update(
    limit=200, labels='per_class:9', labelled_per_batch=8, test_holdout=0.0
  )
  config.semppl.update(queue='64 rows', num_negatives=8)
  return config


@pytest.fixture(scope='module')
def costs(config):
  return input_benchmark.measure(experiment_lib.build(config), 0.05)


def test_every_stage_has_a_cost(costs):
  names = ['read', 'decode', 'crops, flips, masks', 'batch', 'transfer']
  assert [*costs] == names
  for cost in costs.values():
    assert cost.cpu > 0 and cost.wall > 0
    assert cost.images >= 3 * 16 and cost.images % 16 == 0


def test_supports_are_read_and_decoded_too():
  """A PAWS batch of 16 images has 40 more, which no stage may forget."""
  config = paws_quickstart.get_config()
  config.batch_size = 16
  config.data.update(limit=400, labels='per_class:9', labelled_per_batch=8)
  config.support.update(classes_per_batch=10, images_per_class=4)
  experiment = experiment_lib.build(config)
  for until, shape in (('read', (40,)), ('decode', (40, 2))):
    stage = pipeline.train_stage(
      experiment.config,
      experiment.splits.train,
      experiment.subset,
      until,
      support=True,
    )
    rows = jax.tree.leaves(next(stage)[-1].rows)
    assert [x.shape for x in rows] == [shape]


def test_the_table_has_what_each_stage_adds():
  cost = input_benchmark.Cost
  made = {'read': cost(1e-3, 5e-4, 10), 'decode': cost(4e-3, 2e-3, 10)}
  assert input_benchmark.table(made).splitlines()[2:] == [
    '| read | 1.00 | 1.00 | 1,000 | 2,000 |',
    '| decode | 3.00 | 4.00 | 250 | 500 |',
  ]


def _run(*arguments):
  return subprocess.run(
    [sys.executable, '-m', 'semppl_jax.tools.bench_input', *arguments],
    cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
  )  # fmt: skip


@pytest.mark.slow
def test_the_program_says_how_many_cores_are_needed(tmp_path):
  out = tmp_path / 'made' / 'input.json'
  done = _run(
    '--config=configs/quickstart.py', '--config.batch_size=64',
    '--config.data.limit=1000', '--seconds=0.1', '--rate=5000', f'--out={out}',
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  cores = re.search(r'takes 5,000 images/s needs ([\d.]+) cores', done.stdout)
  figures = json.loads(out.read_text())
  want = 5000 * figures['transfer']['cpu']
  assert float(cores[1]) == pytest.approx(want, abs=0.051)
  assert {'decoding alone', 'read', 'batch'} < figures.keys()


@pytest.mark.slow
def test_what_has_no_pipeline_is_one_sentence():
  done = _run('--config=configs/quickstart.py', '--config.data.backend=device')
  assert done.returncode == 2
  assert "backend='device' has no input pipeline" in done.stderr
