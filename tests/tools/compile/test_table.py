"""The table of the configs, and its figures by numbers worked out by hand."""

import re

import pytest

from semppl_jax.tools.compile import job_runner, table
from semppl_jax.tools.compile.topologies import Row

VERSIONS = {'semppl_jax': '0.1', 'jax': '1', 'libtpu': '2'}
REPORT = {
  'topology': 'v3:8x8',
  'cores': 128,
  'batch_size': 4096,
  'fits': True,
  'hbm_gib': {'peak': 5.614, 'capacity': 16.0},
  'tflop': 4.412,
  'gb_accessed': 54.74,
  'collectives': {'all-reduce': 150_000_000, 'all-gather': 20_000_000},
  'roofline_ms': 122.0,
  'roofline_terms_ms': {'compute': 72, 'memory': 122.0, 'communication': 2},
}
NO_ROOM = {key: REPORT[key] for key in ('topology', 'cores', 'batch_size')} | {
  'fits': False,
  'hbm_gib': {'peak': 20.5, 'capacity': 15.48},
}


def test_epochs_per_hour_and_core_hours():
  # 10 steps a second of 100 images: 3.6 million images an hour.
  assert table.epochs_per_hour(100, 100, images=900_000) == pytest.approx(4)
  # 4,096 images in 122 ms: 33,573.77 a second, 120,865,574 an hour.
  assert table.epochs_per_hour(122, 4096) == pytest.approx(94.3402, rel=1e-5)
  # 300 epochs take 3.17998 hours, of each of 128 cores.
  assert table.core_hours(122, 4096, 128) == pytest.approx(407.037, rel=1e-5)
  assert table.core_hours(122, 4096, 128, epochs=3) == pytest.approx(
    4.07037, rel=1e-5
  )
  assert table.longest({'a': 1.0, 'b': 1.0}) == 'a'


def _lines(*cases):
  records = {
    Row(f'configs/a{n}.py', 'v3:8x8'): case for n, case in enumerate(cases)
  }
  return table.page(records, VERSIONS).splitlines()


def _made(report):
  return {'outcome': job_runner.COMPILED, 'report': report, 'reason': None}


def _not_made(outcome, reason):
  return {'outcome': outcome, 'report': None, 'reason': reason}


def test_a_row_has_all_figures():
  lines = _lines(_made(REPORT), _made(REPORT | {'fits': False}))
  assert lines[2] == (
    '| a0 | v3:8x8 | 128 | yes | 5.61 of 16 | 4.41 | 54.7 | 0.17'
    ' | 122.0 (memory) | 94.3 | 407 |'
  )
  assert lines[3].startswith('| a1 | v3:8x8 | 128 | no | 5.61 of 16 | 4.41 |')


def test_rows_without_figures_say_why():
  lines = _lines(
    _made(NO_ROOM),
    _made(NO_ROOM | {'hbm_gib': {'peak': None, 'capacity': 16}}),
    _not_made(job_runner.OVER_LIMIT, 'needs over 30 minutes to compile'),
    _not_made(job_runner.FAILED, 'a | b'),
    _not_made(job_runner.IMPOSSIBLE, 'no.'),
    None,
  )
  assert lines[2].startswith('| a0 | v3:8x8 | 128 | no | 20.50 of 15.48 |  |')
  assert '| no | ? of 16 |  |' in lines[3]
  assert '| a2 | v3:8x8 |  | needs over 30 minutes to compile |  |' in lines[4]
  assert '| failed: a \\| b |' in lines[5]
  assert '| impossible: no. |' in lines[6]
  assert '| not yet run |' in lines[7]
  cells = [len(re.findall(r'(?<!\\)\|', line)) for line in lines[:8]]
  assert len({*cells}) == 1, 'rows of unequal length'


def test_the_caption_says_that_times_are_a_bound_and_names_versions():
  caption = _lines(None)[-1]
  assert 'No step was timed: the time is a roofline, a lower bound' in caption
  assert '1,281,167 images' in caption
  assert caption.endswith('by semppl_jax 0.1, jax 1, libtpu 2.')
