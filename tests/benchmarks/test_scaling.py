"""Plan and tables of `benchmarks/scaling.py`."""

import importlib
import pathlib
import sys

import pytest

from semppl_jax.config import loading
from semppl_jax.config.loading import ConfigError
from semppl_jax.tools.compile import job_runner

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'benchmarks'))

scaling_plan = importlib.import_module('scaling_plan')
scaling_table = importlib.import_module('scaling_table')
STRONG, WEAK = scaling_plan.MODES

QUICK = 'configs/quickstart.py'  # Batches of 64.


def _plan(cores, overrides=(), config=QUICK):
  return scaling_plan.plan(config, overrides, 'v3', cores, per_core=2)


def test_strong_keeps_the_batch_and_weak_the_batch_per_core():
  points = _plan([8, 32])
  assert [x[:3] for x in points] == [
    *((STRONG, 8, 64), (STRONG, 32, 64)),
    *((WEAK, 8, 16), (WEAK, 32, 64)),
  ]
  row = points[2].row
  assert (row.config, row.topology) == (QUICK, 'v3:2x2')
  assert loading.load(row.config, row.overrides).batch_size == 16
  assert points[1].row == points[3].row


def test_labelled_rows_grow_with_the_batch_and_devices_share_evaluation_out():
  big = 'configs/supervised_resnet50_10pct.py'
  point = _plan([2048], ('batch_size=64', 'data.labelled_per_batch=32'), big)[1]
  config = loading.load(big, point.row.overrides)
  assert (config.batch_size, config.data.labelled_per_batch) == (4096, 2048)
  assert config.eval.batch_size == 2048
  kept = loading.load(big, _plan([8], (), big)[0].row.overrides)
  assert kept.eval.batch_size == 512


def test_a_batch_that_cores_cannot_share_out_is_not_compiled():
  assert [bool(x.row) for x in _plan([128])] == [False, True]
  assert _plan([32], ('batch_size=65',))[0].row is None


def test_a_chip_without_such_a_slice_is_refused():
  with pytest.raises(ConfigError, match='--cores=9: v3 has slices of 8, 32'):
    _plan([9])


def _step(cores, batch_size, compute, communication):
  terms = {'compute': compute, 'communication': communication}
  return scaling_table.Scaled(cores, batch_size, terms)


def test_a_step_takes_as_long_as_its_longest_term():
  step = _step(8, 64, 3.0, 4.0)
  assert (step.ms, step.term) == (4.0, 'communication')


def test_efficiency_by_hand():
  first = _step(8, 64, 10, 1)
  assert scaling_table.efficiency(first, first) == 1
  # Strong: four times the cores, half the time: half as many images each.
  strong = _step(32, 64, 2, 5)
  assert scaling_table.efficiency(strong, first) == pytest.approx(0.5)
  # Weak: the same batch per core in 10 and then 12.5 ms.
  weak = _step(32, 256, 10, 12.5)
  assert scaling_table.efficiency(weak, first) == pytest.approx(0.8)


def _record(compute, memory, communication, fits=True):
  terms = dict(compute=compute, memory=memory, communication=communication)
  hbm = {'peak': 17.0, 'capacity': 16}
  report = {'fits': fits, 'roofline_terms_ms': terms, 'hbm_gib': hbm}
  return {'outcome': job_runner.COMPILED, 'report': report, 'reason': None}


def _page(points, records):
  rows = [x.row for x in points if x.row]
  made = dict(zip(rows, records, strict=True))
  return scaling_table.page(points, made, {'jax': '1'}).split('\n\n')


def test_the_tables_say_where_scaling_stops():
  # 8, 32 and 128 cores; 64 images, which 128 cannot share out.
  points = _plan([8, 32, 128])
  records = [
    *(_record(8, 4, 1), _record(2, 1, 5)),
    *(_record(2, 1, 0.5), _record(2, 1, 2.5), _record(2, 1, 3)),
  ]
  records[3] = records[1]  # The same row.
  page = _page(points, records)
  assert page[0] == 'Strong scaling: 64 images over all cores.'
  strong = page[1].splitlines()
  assert (
    strong[2] == '| 8 | 8 | 8.00 | 4.00 | 1.00 | 8.00 | 100.0 % | compute |'
  )
  # Half the pace of 8 cores would be 4 ms x 8 / 32 each.
  assert strong[3] == (
    '| 32 | 2 | 2.00 | 1.00 | 5.00 | 5.00 | 40.0 % | communication |'
  )
  assert strong[4] == (
    '| 128 | 0.5 |  |  |  |  |  | a batch of 64 cannot be shared out evenly |'
  )
  assert page[2] == (
    'Strong scaling stops at 32 cores: efficiency is 40.0 % of that on 8, and'
    ' communication takes longest.'
  )
  assert page[3] == 'Weak scaling: 2 images per core.'
  assert '| 66.7 % | communication |' in page[4]
  assert page[6].startswith('No step was timed: times are rooflines, a lower')
  assert page[6].endswith('Compiled by jax 1.')


def test_the_fewest_cores_that_fit_are_what_is_compared_with():
  page = _page(
    _plan([8, 128]),
    [_record(1, 1, 1, fits=False), _record(1, 1, 1, fits=False)]
    + [_record(2, 1, 3)],
  )
  assert '| 8 | 8 |  |  |  |  |  | does not fit: 17.00 of 16 GiB |' in page[1]
  assert page[2] == 'Strong scaling: too few steps to compare.'
  assert '| 3.00 | 100.0 % | communication |' in page[4]


def test_scaling_that_goes_on_says_how_far():
  points = [x for x in _plan([8, 128, 512]) if x.mode == WEAK]
  strong = [x._replace(mode=STRONG) for x in points]
  page = _page(strong + points, [_record(2, 1, 1)] * 6)
  assert page[5] == (
    'Weak scaling goes on: efficiency is 50 % or more from 8 to 512 cores.'
  )


def test_rows_that_are_not_there_say_why():
  failed = {'outcome': job_runner.FAILED, 'report': None, 'reason': 'it broke'}
  points = _plan([8])
  page = scaling_table.page(points, {points[0].row: failed}, {})
  assert '| failed: it broke |' in page and '| not yet run |' in page
