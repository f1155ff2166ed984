"""The compile check as a program: figures, exit statuses, bad input."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from semppl_jax import methods
from semppl_jax.config import loading
from semppl_jax.methods.base import Inputs, MethodContext
from semppl_jax.models.network import Outputs
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.tools.compile import tpu_aot
from semppl_jax.tools.profiling.step_variants import networks_only
from semppl_jax.training.train_step import make_train_step

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The smallest slice of the paper's chip: one host of 8 cores.
SLICE = 'v3:2x2'
SMALL = (
  'batch_size=16',
  'semppl.queue=64 rows',
  'semppl.num_negatives=8',
  'data.labelled_per_batch=0',
  'probe.enabled=False',
)

_without_libtpu = pytest.mark.skipif(
  importlib.util.find_spec('libtpu') is None,
  reason='needs libtpu (extra [tpu])',
)


def needs_libtpu(test):
  """Marks a test as one for `make test-all`, which has libtpu."""
  return pytest.mark.slow(pytest.mark.tpu_compile(_without_libtpu(test)))


def _run(tmp_path, *flags, config='configs/quickstart.py'):
  """Runs the program; returns its status, its report and what it printed."""
  out = tmp_path / 'made' / 'report.json'
  done = subprocess.run(
    [
      sys.executable, '-m', 'semppl_jax.tools.compile_check',
      f'--config={config}', f'--out={out}', *flags,
      *(f'--config.{each}' for each in SMALL),
    ],
    cwd=ROOT,
    env=os.environ | {'JAX_COMPILATION_CACHE_DIR': ''},
    capture_output=True,
    text=True,
    check=False,
    timeout=600,
  )  # fmt: skip
  report = json.loads(out.read_text()) if out.exists() else None
  return done, report


@needs_libtpu
def test_a_small_step_compiles_for_a_real_slice(tmp_path):
  done, report = _run(tmp_path, f'--topology={SLICE}', '--photometric')
  assert done.returncode == 0, done.stderr
  assert (report['cores'], report['device_kind']) == (8, 'TPU v3')
  assert report['batch_size'] == 16
  assert report['fits']
  hbm = report['hbm_gib']
  assert hbm['capacity'] == 16
  assert 0 < hbm['arguments'] + hbm['temporaries'] <= hbm['peak'] < 0.1
  _check_counts(report)
  terms = report['roofline_terms_ms']
  assert set(terms) == {'compute', 'memory', 'communication'}
  assert report['roofline_ms'] == max(terms.values()) > 0
  assert report['compile_seconds'] > 0
  assert set(report['versions']) == {'semppl_jax', 'jax', 'libtpu'}
  assert 'hbm_gib.temporaries ' in done.stdout
  assert 'collectives.all-reduce ' in done.stdout


def _check_counts(report):
  config = loading.load('configs/quickstart.py', SMALL)
  mesh = mesh_lib.make_mesh(jax.devices()[:1])
  step = make_train_step(config, _method(config, mesh), mesh, 10, 1)
  params = jax.eval_shape(step.init).params
  weights = sum(x.size for x in jax.tree.leaves(params))
  # Every device reduces the whole gradient, and little beside it.
  reduced = report['collectives']['all-reduce']
  assert 4 * weights < reduced < 1.3 * 4 * weights
  assert report['collectives_in_unknown_loops'] == 0
  # At least: forwards for the target, three times that for the network, on
  # two rows with two views and a multiply and an add for each weight.
  assert report['tflop'] * 1e12 > 2 * 2 * 4 * 2 * weights
  assert report['gb_accessed'] > 0.01
  # At this batch the networks' arithmetic is all there is.
  assert -0.05 < report['overhead']['flops'] < 0.05
  assert 0 < report['overhead']['bytes'] < 1
  assert -0.05 < report['overhead']['collectives'] < 1
  assert abs(report['overhead']['hbm_gib']) < 0.1
  assert report['photometric']['bytes'] > 0


@needs_libtpu
def test_a_step_that_does_not_fit_exits_with_1(tmp_path):
  done, report = _run(
    tmp_path,
    f'--topology={SLICE}',
    '--config.network.projector.hidden=8000000',
  )
  assert done.returncode == 1, done.stderr
  assert not report['fits']
  assert report['hbm_gib']['peak'] > 16 >= report['hbm_gib']['capacity'] > 15
  assert 'overhead' not in report
  assert 'fits ' in done.stdout
  assert f'does not fit the memory of {SLICE}; lower it' in done.stderr
  assert 'a larger slice: --topology=v3:' in done.stderr


@needs_libtpu
@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (['--topology=v9:2x2'], "topology is 'v9:2x2'; it must be a chip and"),
    (['--topology=v3:3x5'], "topology is 'v3:3x5'; it must be a chip and"),
    (['--topology=v3:8x8'], 'batch_size=16 must be a multiple of the 128'),
  ],
)
def test_an_impossible_slice_exits_with_2(tmp_path, flags, message):
  done, report = _run(tmp_path, *flags)
  assert done.returncode == 2
  assert message in done.stderr
  assert 'Traceback' not in done.stderr
  assert report is None


def test_a_missing_flag_exits_with_2(tmp_path):
  done, report = _run(tmp_path)
  assert done.returncode == 2
  assert '--topology=CHIP:SHAPE and --out=FILE are both needed' in done.stderr
  assert report is None


def test_a_missing_libtpu_is_named(monkeypatch):
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
  with pytest.raises(ValueError, match=r"pip install -e '.\[tpu\]'"):
    tpu_aot.devices(SLICE)


def _networks_only():
  config = loading.load('configs/quickstart.py', SMALL)
  return networks_only(_method(config, mesh_lib.make_mesh()))


def _method(config, mesh):
  return methods.make(config, MethodContext(mesh, config.batch_size, 100))


def test_the_networks_alone_keep_no_memory():
  method = _networks_only()
  assert method.init_memory() == () and method.memory_sharding is None
  assert method.heads == ('projector', 'predictor')


def test_the_networks_alone_use_the_last_head_and_the_target():
  rng = np.random.default_rng(0)

  def array(*shape):
    return jnp.asarray(rng.normal(size=shape), jnp.float32)

  online = Outputs(array(4, 3, 5), array(4, 3, 2), array(4, 3, 2))
  target = Outputs(array(4, 2, 5), array(4, 2, 2))
  method = _networks_only()
  inputs = Inputs(online, target, None, (), jax.random.key(0), 0)
  result = method.loss(inputs)
  aim = np.asarray(target.projection).mean(1, keepdims=True)
  expected = np.mean((np.asarray(online.prediction) - aim) ** 2)
  np.testing.assert_allclose(result.loss, expected, rtol=1e-6)
  assert result.memory == ()
  without = method.loss(inputs._replace(target=None)).loss
  np.testing.assert_allclose(
    without, np.mean(np.asarray(online.prediction) ** 2), rtol=1e-6
  )
