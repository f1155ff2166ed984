"""The benchmark of the train step: its report, its parts and bad input."""

import json
import pathlib
import re
import subprocess
import sys

import jax
import numpy as np
import pytest

from configs import paws_quickstart
from semppl_jax.config import loading
from semppl_jax.runtime import errors, mesh as mesh_lib
from semppl_jax.tools.profiling import (
  hardware,
  random_batch,
  step_benchmark,
  step_variants,
  timing,
)
from semppl_jax.tools.profiling.timing import CompiledStep
from semppl_jax.training import aot
from tests.helpers import tiny

ROOT = pathlib.Path(__file__).resolve().parents[2]
SIZE = hardware.Workload(64, 1)


@pytest.fixture(scope='module')
def config():
  config = tiny.config(pathlib.Path('nowhere'), colors=True)
  config.views.small.count = 0  # Compiling takes all of the time here.
  config.probe.enabled, config.augment.jitter = False, 0.0
  return config


@pytest.fixture(scope='module')
def report(config):
  """That of a tiny step, on a device that takes no time to measure."""
  with pytest.MonkeyPatch.context() as patched:
    patched.setattr(hardware, '_CPU', SIZE)
    return step_benchmark.measure(config, 3, 1, devices=jax.devices()[:1])


@pytest.mark.slow
def test_the_report_has_every_figure(report):
  assert report['devices'] == 1 and report['device_kind'] == 'cpu'
  assert (report['method'], report['given']) == ('semppl', 'views')
  assert (report['batch_size'], report['labelled_rows']) == (16, 1)
  assert (report['precision'], report['accumulate']) == ('float32', 1)
  step = report['step']
  order = [step[f'{x}_ms'] for x in ('min', 'p10', 'median', 'p90', 'max')]
  assert order[0] > 0 and order == sorted(order) and step['calls'] == 3
  rate = 16 / (step['median_ms'] / 1e3)
  assert report['images_per_second'] == pytest.approx(rate)
  first = report['first_step_seconds']
  assert first['total'] == first['trace'] + first['compile'] > 0
  assert report['memory_gib']['step'] > 0
  assert report['memory_gib']['device_peak'] is None  # A CPU does not say.
  assert not report['loops_counted_once']
  assert report['versions']['jax'] == jax.__version__
  for name in ('tflop', 'model_tflop', 'gb_accessed', 'utilisation'):
    assert report[name] > 0
  assert json.loads(json.dumps(report)) == report


@pytest.mark.slow
def test_the_step_is_held_against_the_device(report):
  device, milliseconds = report['device'], report['step']['median_ms']
  assert re.fullmatch(
    r'measured: (bfloat16|float32) products of 64 x 64, copies of 1 MiB',
    device['origin'],
  )
  terms = report['roofline_terms_ms']
  most = max(report['tflop'], report['model_tflop'])
  assert terms == pytest.approx(
    {
      'compute': 1e3 * most / device['tflops'],
      'memory': 1e3 * report['gb_accessed'] / device['gbps'],
    }
  )
  assert report['roofline_ms'] == max(terms.values())
  share = report['roofline_ms'] / milliseconds
  assert report['roofline_share'] == pytest.approx(share)
  used = report['model_tflop'] / (milliseconds / 1e3) / device['tflops']
  assert report['utilisation'] == pytest.approx(used)


@pytest.mark.slow
def test_the_parts_add_up_to_the_step(report):
  parts, programs = report['parts'], report['programs']
  assert [*parts] == [
    *('colors and blur', 'queue, votes, sampling, losses'),
    *('heads', 'encoder', 'optimizer and average', 'rest'),
  ]
  total = sum(part['ms'] for part in parts.values())
  assert total == pytest.approx(report['step']['median_ms'])
  assert sum(part['share'] for part in parts.values()) == pytest.approx(1)
  assert all(part['share'] > 0 for part in parts.values())
  assert parts['encoder']['measured'].startswith('gradient/forward')
  assert [*programs] == ['step', 'bare']
  assert all(times['min_ms'] > 0 for times in programs.values())


def test_calls_are_timed_in_turn_after_the_warm_up():
  now, order = [0.0], []
  taken = {'a': iter([9, 9, *range(11)]), 'b': iter([9, 9, *[1] * 11])}

  def call(name):
    order.append(name)
    now[0] += next(taken[name])

  calls = {name: lambda name=name: call(name) for name in taken}
  times = timing.measure(calls, 11, 2, clock=lambda: now[0] / 1e3)
  assert times['a'] == pytest.approx((5, 0, 10, 1, 9, 11))
  assert times['b'] == pytest.approx((1, 1, 1, 1, 1, 11))
  assert order == ['a', 'b'] * 13


def test_a_chip_of_the_table_is_not_measured():
  class Device:
    device_kind, num_cores, platform = 'TPU v4', 2, 'tpu'

  assert hardware.rates(Device()) == (275, 1200, 'documents of the chip')


def test_the_noise_has_labels_and_identities(config):
  changed = loading.copy(config)
  changed.data.labelled_per_batch = 4
  run = aot.make_abstract_run(changed, mesh_lib.make_mesh())
  batch = random_batch.batch(run)
  _assert_like(batch, aot.abstract_batch(changed, run.mesh))
  label = np.asarray(batch.label)
  assert (label >= 0).sum() == random_batch.labelled_rows(run) == 4
  assert set(label[label >= 0]) <= set(range(1000))
  assert len(set(np.asarray(batch.index).tolist())) == 16
  assert len(np.unique(batch.large)) == 256


def _assert_like(made, like):
  def same(x, y):
    assert (x.shape, x.dtype, x.sharding) == (y.shape, y.dtype, y.sharding)

  jax.tree.map(same, made, like)


def test_the_noise_of_whole_images_fills_them():
  config = paws_quickstart.get_config()
  config.batch_size, config.data.canvas = 8, (6, 10)
  config.data.update(backend='device', labelled_per_batch=0)
  config.support.update(classes_per_batch=4, images_per_class=2)
  run = aot.make_abstract_run(config, mesh_lib.make_mesh())
  made = random_batch.batch(run)
  _assert_like(made, random_batch.abstract_inputs(run))
  assert made.canvas.image.shape == (8, 6, 10, 3)
  for canvas in (made.canvas, made.support.canvas):
    np.testing.assert_array_equal(canvas.extent, [(6, 10)] * 8)
  np.testing.assert_array_equal(made.support.label, [0, 0, 1, 1, 2, 2, 3, 3])


FULL = 'RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.'


def _fails(error):
  def fail(*args, **others):
    raise error

  return fail


def test_a_step_that_does_not_fit_is_one_sentence(config, monkeypatch):
  full = jax.errors.JaxRuntimeError(FULL)
  monkeypatch.setattr(aot, 'lower', _fails(full))
  with pytest.raises(errors.InputError) as caught:
    step_benchmark.measure(config, 1, 0)
  assert str(caught.value) == (
    'A step of config.batch_size=16 does not fit the memory of 8 x cpu; lower'
    ' it or raise config.accumulate=1, or set'
    " config.network.remat='blocks', or take more devices."
  )


def test_what_else_fails_is_not_hidden(config, monkeypatch):
  other = jax.errors.JaxRuntimeError('INTERNAL: it broke.')
  monkeypatch.setattr(aot, 'lower', _fails(other))
  with pytest.raises(jax.errors.JaxRuntimeError, match='it broke'):
    step_benchmark.measure(config, 1, 0)


def test_parts_that_do_not_fit_leave_the_step(config, monkeypatch):
  monkeypatch.setattr(hardware, '_CPU', SIZE)
  # As where JAX may use an accelerator alone: what the compiler counts is left.
  monkeypatch.setattr(aot, 'model_flops', lambda config: None)
  full = jax.errors.JaxRuntimeError(FULL)

  def compiled(run, inputs):
    if run.method.loss is step_variants._distance:
      raise full
    return CompiledStep(run, inputs)

  monkeypatch.setattr(step_benchmark, 'CompiledStep', compiled)
  found = step_benchmark.measure(config, 1, 0, devices=jax.devices()[:1])
  assert found['parts'] is None and found['step']['median_ms'] > 0
  assert found['model_tflop'] == found['tflop'] > 0
  assert 'The networks alone do not fit' in step_benchmark.text(found)


@pytest.mark.slow
def test_the_table_has_figures_and_parts(report):
  text = step_benchmark.text(report)
  assert re.search(r'^images_per_second +[\d,.]+$', text, re.MULTILINE)
  assert re.search(r'^heads .* modules of heads$', text, re.MULTILINE)
  assert 'programs' not in text


def test_a_bad_config_is_named(config):
  changed = loading.copy(config)
  changed.batch_size = 12
  with pytest.raises(
    errors.InputError, match='batch_size=12 must be a multiple'
  ):
    step_benchmark.measure(changed, 1, 0)


def _run(*arguments):
  return subprocess.run(
    [sys.executable, '-m', 'semppl_jax.tools.bench', *arguments],
    cwd=ROOT, capture_output=True, text=True, check=False, timeout=500,
  )  # fmt: skip


@pytest.mark.slow
def test_the_program_writes_what_it_prints(tmp_path):
  out = tmp_path / 'made' / 'report.json'
  done = _run(
    '--config=configs/quickstart.py', '--config.batch_size=32', '--steps=3',
    '--warmup=1', '--noparts', '--profile=3:1', f'--out={out}',
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  assert [*out.with_name('report.json.profile').rglob('*.xplane.pb')]
  report = json.loads(out.read_text())
  assert report['batch_size'] == 32 and 'parts' not in report
  printed = re.search(r'^step.median_ms +([\d.,]+)$', done.stdout, re.MULTILINE)
  median = float(printed[1].replace(',', ''))
  assert median == pytest.approx(report['step']['median_ms'], rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (['--steps=0'], 'steps'),
    (['--config.batch_size=-1'], 'config.batch_size=-1 must be'),
    (['--out=/dev/null/report.json'], 'cannot be written'),
  ],
)
def test_bad_input_is_one_sentence(tmp_path, arguments, message):
  out = tmp_path / 'report.json'
  done = _run('--config=configs/quickstart.py', f'--out={out}', *arguments)
  assert done.returncode == 2
  assert message in done.stderr and 'Traceback' not in done.stderr
  assert not out.exists()
