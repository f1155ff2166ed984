"""The chip table, the roofline and the report's two forms."""

import json

import pytest

from semppl_jax.tools.compile import cost_analysis as cost_analysis_lib
from semppl_jax.tools.profiling import hardware

V3 = hardware.core('TPU v3')
REPORT = {
  'topology': 'v3:8x8',
  'cores': 128,
  'fits': True,
  'hbm_gib': {'arguments': None, 'peak': 5.25},
  'collectives': {'all-reduce': 146029108},
  'tflop': 4.40512,
}


def test_a_v3_core_is_half_a_chip():
  assert V3 == (16, 61.5, 450, 164)


def test_two_cores_that_act_as_one_are_a_chip():
  assert hardware.core('TPU v5', cores=2) == (95, 459, 2765, 600)


@pytest.mark.parametrize('kind', hardware.CHIPS)
def test_every_chip_has_plausible_figures(kind):
  core = hardware.core(kind, hardware.CHIPS[kind][0])
  assert 16 <= core.hbm_gib <= 96
  # FLOP per byte at which arithmetic and memory take the same time.
  assert 50 < core.tflops * 1e12 / (core.hbm_gbps * 1e9) < 600
  assert 0.1 < core.link_gbps / core.hbm_gbps < 0.5


def test_an_unknown_chip_is_named():
  with pytest.raises(
    ValueError, match=r"'TPU7x'; there are figures for TPU v2"
  ):
    hardware.core('TPU7x')


def test_the_roofline_is_arithmetic_memory_and_links():
  moved = {'all-reduce': 82 * 10**6, 'all-gather': 164 * 10**6}
  assert cost_analysis_lib.roofline_ms(
    6.15e12, 45e9, moved, V3
  ) == pytest.approx({'compute': 100.0, 'memory': 100.0, 'communication': 2.0})


@pytest.mark.parametrize(
  ('message', 'peak', 'capacity'),
  [
    (
      'RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required'
      ' for HLO temporaries (32.25G) exceeds available HBM (15.48G).',
      32.25,
      15.48,
    ),
    (
      'RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory'
      ' in memory space hbm. Used 1.25T of 15.48G hbm. Exceeded hbm capacity'
      ' by 4.62G.\n\nTotal hbm usage >= 20.6G:',
      1280.0,
      15.48,
    ),
    ('RESOURCE_EXHAUSTED: no room', None, 16.0),
  ],
)
def test_the_compilers_refusal_is_read(message, peak, capacity):
  found = cost_analysis_lib.out_of_memory(message, V3)
  assert not found['fits']
  assert found['hbm_gib']['peak'] == peak
  assert found['hbm_gib']['capacity'] == capacity
  assert found['compiler'].startswith('RESOURCE_EXHAUSTED')
  assert '\n' not in found['compiler']
  assert cost_analysis_lib.memory_ratio(found) == (
    peak / capacity if peak else 1.0
  )


def test_the_table_is_aligned():
  assert cost_analysis_lib.table(REPORT).splitlines() == [
    'topology                        v3:8x8',
    'cores                              128',
    'fits                               yes',
    'hbm_gib.arguments                    -',
    'hbm_gib.peak                      5.25',
    'collectives.all-reduce     146,029,108',
    'tflop                            4.405',
  ]


def test_the_report_is_plain_json():
  assert json.loads(json.dumps(REPORT)) == REPORT


class _Compiled:
  """Stands for a compiled step of known figures."""

  def __init__(self, peak_gib=8, flops=6.15e12, accessed=45e9):
    self._peak, self._cost = peak_gib, (flops, accessed)

  def memory_analysis(self):
    gib = 2**30
    parts = {'argument': 2, 'output': 2.5, 'alias': 2, 'generated_code': 0.5}
    parts['temp'] = self._peak - 3
    return type(
      'Memory',
      (),
      {f'{k}_size_in_bytes': int(v * gib) for k, v in parts.items()},
    )

  def cost_analysis(self):
    return {'flops': self._cost[0], 'bytes accessed': self._cost[1]}

  def as_text(self):
    return """ENTRY %main (p: f32[82]) -> f32[82] {
  %p = f32[82]{0} parameter(0)
  ROOT %r = f32[82]{0} all-reduce(%p), to_apply=%add
}
"""


def test_a_compiled_step_is_measured():
  found = cost_analysis_lib.measure(_Compiled(), V3)
  assert found['fits']
  assert found['hbm_gib'] == {
    'arguments': 2.0,
    'temporaries': 5.0,
    'peak': 8.0,
    'capacity': 16.0,
  }
  assert (found['tflop'], found['gb_accessed']) == (6.15, 45.0)
  assert found['collectives'] == {'all-reduce': 328}
  assert found['roofline_ms'] == max(found['roofline_terms_ms'].values())
  assert found['roofline_ms'] == pytest.approx(100.0)


@pytest.mark.parametrize(('peak', 'fits'), [(16, True), (16.01, False)])
def test_fits_up_to_the_capacity(peak, fits):
  assert cost_analysis_lib.measure(_Compiled(peak), V3)['fits'] is fits


def test_overhead_is_what_comes_on_top():
  full, alone = (
    cost_analysis_lib.measure(compiled, V3)
    for compiled in (
      _Compiled(8.25, flops=4.4e12, accessed=52e9),
      _Compiled(8, flops=4e12, accessed=50e9),
    )
  )
  assert cost_analysis_lib.overhead(full, alone) == pytest.approx(
    {'flops': 0.1, 'bytes': 0.04, 'collectives': 0.0, 'hbm_gib': 0.25}
  )
