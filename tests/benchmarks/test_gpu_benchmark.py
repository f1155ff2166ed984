"""`benchmarks/gpu.py`: the same networks on both sides, tables, resumption."""

import importlib.util
import json
import math
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from semppl_jax.config import loading
from semppl_jax.config.loading import ConfigError
from semppl_jax.methods.base import Inputs
from semppl_jax.models.network import make_network, Outputs
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.runtime.subprocesses import Finished
from semppl_jax.tools.profiling import step_variants
from semppl_jax.training import aot

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'benchmarks'))

gpu_page = importlib.import_module('gpu_page')
gpu_rows = importlib.import_module('gpu_rows')
gpu_runs = importlib.import_module('gpu_runs')
torch_plan = importlib.import_module('torch_plan')
torch_step = importlib.import_module('torch_step')
OURS, EAGER, COMPILED = gpu_rows.OURS, gpu_rows.EAGER, gpu_rows.COMPILED
TIMED = gpu_rows.Timing(3, 1)


def _run_of(config):
  return aot.make_abstract_run(config, mesh_lib.make_mesh(jax.devices()[:1]))


def _unfed(row):
  return _run_of(loading.load(row.config, row.overrides))


@pytest.mark.parametrize('row', gpu_rows.rows(gpu_rows.ROWS, 64))
def test_both_sides_have_as_many_parameters(row):
  run = _unfed(row)
  with torch.device('meta'):
    theirs = torch_step.Networks(torch_plan.of(run))
  network = make_network(
    run.config.network, heads=run.method.heads, bn_groups=run.method.bn_groups
  )
  views = (jax.ShapeDtypeStruct((1, 1, 32, 32, 3), 'float32'),)
  ours, _ = jax.eval_shape(network.init, jax.random.key(0), views)
  count = sum(math.prod(x.shape) for x in jax.tree.leaves(ours))
  assert count == sum(x.numel() for x in theirs.parameters()) > 10**6


def test_both_sides_have_the_same_views_and_support():
  resnet, wrn = (
    torch_plan.of(_unfed(x)) for x in gpu_rows.rows(gpu_rows.ROWS, 64)
  )
  assert resnet.views == ((4, 224), (2, 96)) and resnet.rows == (256, 128)
  assert (resnet.target, resnet.precision) == ('ema', 'bfloat16')
  # 10 classes of 64 images, two views of each.
  assert wrn.views == ((2, 32), (6, 18)) and wrn.support == 1280
  assert wrn.rows == (256 * 2 + 1280, 256 * 6)


def test_what_pytorch_lacks_is_named():
  config = loading.load(
    'configs/swav_resnet50_10pct.py', ('network.width=2', 'accumulate=2')
  )
  with pytest.raises(
    ConfigError, match=r"width=2, the head 'prototypes', accumulate=2\.$"
  ):
    torch_plan.of(_run_of(config))


def _plan(target, support):
  head = torch_plan.Mlp((4, 5), True)
  return torch_plan.Plan(
    'wide_resnet28_2', (head,), target, 2, ((3, 8), (1, 8)), support, 'float32'
  )


@pytest.mark.parametrize('target', ['ema', 'stop_gradient', 'none'])
@pytest.mark.parametrize('support', [0, 4])
def test_the_loss_is_that_of_the_networks_alone(target, support):
  plan, rng = _plan(target, support), np.random.default_rng(0)
  rows = [rng.normal(size=(n, 5)).astype(np.float32) for n in plan.rows]
  average = (lambda x: 3 * x) if target == 'ema' else None
  images = [torch.tensor(x) for x in rows]
  found = torch_step.distance(lambda x: x, average, images, plan)

  views = [x.reshape(2, -1, 5) for x in (rows[0][:6], rows[1])]
  beside = Outputs(jnp.asarray(rows[0][6:])[:, None]) if support else None
  online = Outputs(jnp.concatenate(views, axis=1), support=beside)
  aims = {'ema': 3 * views[0], 'stop_gradient': views[0]}
  aim = Outputs(jnp.asarray(aims[target])) if target in aims else None
  given = Inputs(online, aim, None, (), None, None)
  assert float(found) == pytest.approx(
    float(step_variants._distance(given).loss)
  )


@pytest.fixture
def one_thread():
  """Threads of PyTorch wait for each other where other tests run."""
  before = torch.get_num_threads()
  torch.set_num_threads(1)
  yield
  torch.set_num_threads(before)


def test_a_step_learns_and_its_average_follows(monkeypatch, one_thread):
  made = {}

  def average_of(online):
    made['average'] = average(online)
    made['online'] = online
    return made['average']

  average = torch_step.average_of
  monkeypatch.setattr(torch_step, 'average_of', average_of)
  step = torch_step.make(_plan('ema', 0), 'cpu', compiled=False)
  before = [x.clone() for x in made['average'].parameters()]
  step()
  pairs = zip(
    before, made['online'].parameters(), made['average'].parameters(),
    strict=True,
  )  # fmt: skip
  moved = 0
  for old, own, new in pairs:
    torch.testing.assert_close(new, 0.99 * old + 0.01 * own)
    moved += not torch.equal(old, own)
  assert moved > 50


def test_rows_are_chosen_and_fields_set():
  row = gpu_rows.rows(['resnet50'], 32, ['batch_size=16'])[0]
  assert _unfed(row).config.batch_size == 16
  with pytest.raises(ConfigError, match='--rows=vgg may be some of resnet50,'):
    gpu_rows.rows(['vgg'], 32)
  with pytest.raises(ConfigError, match="no field 'bath_size'"):
    gpu_rows.rows(['wrn28_2'], 32, ['bath_size=8'])


def test_pytorch_is_told_its_device():
  row = gpu_rows.rows(['wrn28_2'], 64)[0]
  out = pathlib.Path('out.json')
  ours, eager, compiled = (
    gpu_rows.command(row, side, TIMED, 'cuda', out)
    for side in (OURS, EAGER, COMPILED)
  )
  shared = ['--config.data.backend=device', '--steps=3', '--out=out.json']
  assert all({*shared} <= {*x} for x in (ours, eager, compiled))
  assert 'semppl_jax.tools.bench' in ours and '--device=cuda' in eager
  assert [*{*compiled} - {*eager}] == ['--compile']


def _ended(errors=''):
  return Finished(2 if errors else 0, None, 1.0, 0.1, '', errors)


class _Runner:
  """Writes what a child would, and remembers which ran."""

  def __init__(self, fails=()):
    self.ran, self.fails = [], fails

  def __call__(self, command):
    side = EAGER if 'gpu_torch' in ' '.join(command) else OURS
    self.ran.append(side)
    if side in self.fails:
      return _ended('Warning.\nsemppl_jax: It does not fit.\n')
    out = next(x for x in command if x.startswith('--out='))
    made = {'device_kind': 'cpu', 'side': side}
    pathlib.Path(out.removeprefix('--out=')).write_text(json.dumps(made))
    return _ended()


def _sides(folder, runner, timed=TIMED):
  row = gpu_rows.rows(['resnet50'], 64)[0]
  return gpu_runs.sides(row, folder, timed, [EAGER], runner)


def test_what_was_made_is_not_measured_again(tmp_path, monkeypatch):
  runner = _Runner(fails=[EAGER])
  found = _sides(tmp_path, runner)
  assert found[OURS].report['side'] == OURS
  assert found[EAGER] == (None, 'It does not fit.')
  runner.fails = ()
  assert _sides(tmp_path, runner)[EAGER].report['side'] == EAGER
  assert _sides(tmp_path, runner) == _sides(tmp_path, runner)
  assert runner.ran == [OURS, EAGER, EAGER]
  _sides(tmp_path, runner, gpu_rows.Timing(4, 1))
  assert runner.ran[3:] == [OURS, EAGER]
  (tmp_path / 'resnet50.torch.json').write_text('{')
  monkeypatch.setenv('XLA_FLAGS', '--other')
  _sides(tmp_path, runner, gpu_rows.Timing(4, 1))
  assert runner.ran[5:] == [OURS, EAGER]


def test_without_our_step_or_pytorch_nothing_is_held_against_it(
  tmp_path, monkeypatch
):
  found = _sides(tmp_path, _Runner(fails=[OURS]))
  assert found[EAGER].reason == 'there is no step to hold it against'
  find_spec = importlib.util.find_spec
  monkeypatch.setattr(
    importlib.util,
    'find_spec',
    lambda name: None if name == 'torch' else find_spec(name),
  )
  runner = _Runner()
  found = _sides(tmp_path, runner)
  assert runner.ran == [OURS]
  row = gpu_rows.rows(['resnet50'], 64)[0]
  found[OURS] = gpu_runs.Measured(_report())
  assert 'torch: not measured: PyTorch is not installed' in gpu_page.page(
    {row: found}
  )


def _report():
  return {
    'device_kind': 'NVIDIA X',
    'batch_size': 64,
    'precision': 'bfloat16',
    'step': {'median_ms': 40.0},
    'images_per_second': 1600.0,
    'utilisation': 0.25,
    'roofline_share': 0.5,
    'roofline_ms': 20.0,
    'roofline_terms_ms': {'compute': 10.0, 'memory': 20.0},
    'device': {'tflops': 700.0, 'gbps': 3000.0, 'origin': 'measured: so'},
    'memory_gib': {'step': 9.0, 'device_peak': 10.0},
    'programs': {'bare': {'median_ms': 32.0}},
    'parts': {'heads': {'ms': 1.0, 'share': 0.025, 'measured': 'a - b'}},
  }


def _theirs(ms, gib):
  return {
    'step': {'median_ms': ms},
    'images_per_second': 64e3 / ms,
    'memory_gib': {'device_peak': gib},
  }


def test_the_tables_have_ratios_parts_and_the_gap():
  row, other = gpu_rows.rows(gpu_rows.ROWS, 64)
  found = {
    row: {
      OURS: gpu_runs.Measured(_report()),
      EAGER: gpu_runs.Measured(_theirs(48.0, 12.5)),
      COMPILED: gpu_runs.Measured(None, 'it broke'),
    },
    other: {
      OURS: gpu_runs.Measured(None, 'no room'),
      EAGER: gpu_runs.Measured(None, 'there is no step to hold it against'),
    },
  }
  blocks = gpu_page.page(found).split('\n\n')
  ours = (
    '| SemPPL, ResNet-50 | NVIDIA X | 64 | bfloat16 | 40.00 | 1,600 | 32.00'
  )
  assert blocks[1].splitlines()[2:] == [
    f'{ours} | eager | 48.00 | 1,333 | 1.50 | 1.20 | 25.0% | 50.0% | 10.00'
    ' | 12.50 |',
    f'{ours} | torch.compile | - | - | - | - | 25.0% | 50.0% | 10.00 | - |',
    '| PAWS, WRN-28-2, CIFAR-10 | - | - | - | - | - | - | eager | - | - | -'
    ' | - | - | - | - | - |',
  ]
  columns = {line.count('|') for line in blocks[1].splitlines()}
  assert columns == {17}
  assert blocks[3] == (
    'SemPPL, ResNet-50, torch_compile: not measured: it broke'
  )
  assert 'ours: not measured: no room' in blocks[4]
  assert blocks[-2].splitlines()[2] == '| heads | 1.00 | 2.5% | a - b |'
  assert blocks[-1] == (
    'Roofline: 20.00 ms, of which memory is the largest term (compute 10.00 ms'
    ' at 700 TFLOP/s, memory 20.00 ms at 3,000 GB/s; measured: so). The step'
    ' takes 40.00 ms: 20.00 ms more, 2.00 times as long.'
  )


def test_parts_that_do_not_fit_leave_the_full_step():
  row = gpu_rows.rows(['resnet50'], 64)[0]
  report = {k: v for k, v in _report().items() if k != 'programs'}
  ours = gpu_runs.Measured(report | {'parts': None})
  theirs = gpu_runs.Measured(_theirs(48.0, None))
  page = gpu_page.page({row: {OURS: ours, EAGER: theirs}})
  assert '| 1,600 | - | eager | 48.00 | 1,333 | - | 1.20 |' in page
  assert 'Parts: the step of the networks only did not fit.' in page


# As small as it can be, and float32: CPUs are slow at bfloat16.
TINY = (
  'batch_size=4', 'network.backbone=resnet18', 'network.precision=float32',
  'network.projector.hidden=8', 'network.predictor.hidden=8',
  'views.large.size=16', 'views.large.count=2', 'views.small.count=0',
  'semppl.num_negatives=2', 'augment.jitter=0.0', 'augment.blur=(0.0,0.0)',
  'probe.enabled=False',
)  # fmt: skip


@pytest.mark.slow
def test_the_program_measures_and_goes_on(tmp_path):
  command = [
    *(sys.executable, 'benchmarks/gpu.py', f'--out={tmp_path}'),
    *('--rows=resnet50', '--steps=1', '--warmup=1'),
    *(f'--set={each}' for each in TINY),
  ]

  def run(*more):
    return subprocess.run(
      [*command, *more], cwd=ROOT, capture_output=True, text=True, check=False,
      timeout=900,
    )  # fmt: skip

  first = run()
  assert first.returncode == 0, first.stderr
  assert first.stdout.count('Measuring ') == 2
  page = (tmp_path / 'gpu.md').read_text()
  assert '| SemPPL, ResNet-50 | cpu | 4 | float32 |' in page
  assert first.stdout.endswith(page) and 'not measured' not in page
  again = run()
  assert again.returncode == 0 and again.stdout == page
  wrong = run('--rows=vgg')
  assert wrong.returncode == 2 and 'Traceback' not in wrong.stderr
