"""`compile_check --all` as a program, with another program for the compiler."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]

# Calls the program's `main` several times in one process, which loads JAX once.
DRIVER = """
import contextlib, io, json, sys
from absl import flags
from absl.testing import flagsaver
from semppl_jax.config import loading
from semppl_jax.tools import compile_check
from semppl_jax.tools.compile import tpu_aot

tpu_aot.versions = lambda: {'jax': '1'}
sys.executable, cases = sys.argv[1], json.loads(sys.argv[2])
results = []
for case in cases:
  out, err = io.StringIO(), io.StringIO()
  with flagsaver.flagsaver(), contextlib.redirect_stdout(out), \\
      contextlib.redirect_stderr(err):
    try:
      rest = loading.parse_optional_config(['compile_check', *case])
      status = compile_check.main(rest)
    except SystemExit as error:
      status = error.code
  results.append((status, out.getvalue(), err.getvalue()))
print(json.dumps(results))
"""

COMPILER = """#!{python}
import json, pathlib, sys, time
given = dict(x[2:].split('=', 1) for x in sys.argv if '=' in x)
title = pathlib.Path(given['config']).stem + ' ' + given['topology']
with open({log!r}, 'a') as file:
  print(title, file=file)
if title == 'byol_resnet50_10pct v3:8x8':
  time.sleep(60)
if title == 'swav_resnet50_10pct v3:8x8':
  sys.exit('semppl_jax: it broke')
report = dict(
  cores=128, batch_size=4096, fits=False,
  hbm_gib=dict(peak=17, capacity=16),
)
pathlib.Path(given['out']).write_text(json.dumps(report))
"""


def _python(program, *arguments):
  return subprocess.run(
    [sys.executable, '-c', program, *arguments],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
    timeout=300,
  )


@pytest.fixture(scope='module')
def results(tmp_path_factory):
  """Status, output and errors of each call, and what was compiled in all."""
  folder = tmp_path_factory.mktemp('all')
  compiler, log = folder / 'compiler', folder / 'log'
  compiler.write_text(COMPILER.format(python=sys.executable, log=str(log)))
  compiler.chmod(0o755)
  (folder / 'file').write_text('')
  out = f'--out={folder / "made"}'
  quick = '--limit_minutes=0.05'
  cases = {
    'three': [
      *('--all', out, quick, '--rows=^(relicv2|byol|swav)_.* v3:8x8'),
    ],
    'again': ['--all', out, quick, '--rows=^(byol|swav|simclr)_'],
    'config': ['--all', out, '--config=configs/quickstart.py'],
    'topology': ['--all', out, '--topology=v3:8x8'],
    'photometric': ['--all', out, '--photometric'],
    'no row': ['--all', out, '--rows=vgg'],
    'no all': ['--rows=vgg', out],
    'no folder': ['--all', f'--out={folder}/file/made'],
    'no out': ['--all'],
    'no config': ['--topology=v3:8x8', out],
  }
  done = _python(DRIVER, str(compiler), json.dumps([*cases.values()]))
  assert done.returncode == 0, done.stderr
  found = dict(zip(cases, json.loads(done.stdout), strict=True))
  table = (folder / 'made' / 'table.md').read_text()
  return found, log.read_text().splitlines(), table


def test_a_row_fits_not_one_is_killed_and_one_fails(results):
  status, table, _ = results[0]['three']
  assert status == 1
  assert '| relicv2_resnet50_10pct | v3:8x8 | 128 | no | 17.00 of 16 |' in table
  over = 'needs over 0.05 minutes to compile'
  assert f'| byol_resnet50_10pct | v3:8x8 |  | {over} |' in table
  assert '| swav_resnet50_10pct | v3:8x8 |  | failed: it broke |' in table
  assert table.endswith('Compiled by jax 1.\n')


def test_another_call_compiles_what_is_left_and_shows_all(results):
  found, compiled, kept = results
  first = ['relicv2_resnet50_10pct', 'byol_resnet50_10pct']
  second = ['simclr_resnet50_10pct', 'swav_resnet50_10pct']
  names = [x.removesuffix(' v3:8x8') for x in compiled]
  assert names == [*first, 'swav_resnet50_10pct', *second]
  status, table, _ = found['again']
  assert status == 1
  assert table == kept
  assert all(f'| {name} |' in table for name in (*first, *second))


@pytest.mark.parametrize(
  ('case', 'message'),
  [
    ('config', 'no --config, --topology or --photometric'),
    ('topology', 'no --config, --topology or --photometric'),
    ('photometric', 'no --config, --topology or --photometric'),
    ('no row', '--rows=vgg matches no row; rows are resnet50_10pct v3:8x8'),
    ('no all', '--rows=REGEX needs --all'),
    ('no folder', 'cannot be written: Not a directory'),
    ('no out', '--out=DIR is missing'),
    ('no config', '--config=FILE is missing'),
  ],
)
def test_bad_input_exits_with_2_and_a_sentence(results, case, message):
  status, out, errors = results[0][case]
  assert status == 2
  assert message in errors and not out
  assert errors.count('\n') == 1


SMALL = (
  'semppl.queue=512 rows',
  'semppl.num_negatives=8',
  'data.labelled_per_batch=0',
  'probe.enabled=False',
)


@pytest.mark.slow
@pytest.mark.tpu_compile
@pytest.mark.skipif(
  importlib.util.find_spec('libtpu') is None,
  reason='needs libtpu (extra [tpu])',
)
def test_a_small_step_is_scaled_over_real_slices_and_goes_on(tmp_path):
  command = [
    *(sys.executable, 'benchmarks/scaling.py', f'--out={tmp_path}'),
    *('--config=configs/quickstart.py', '--per_core=8'),
    *(f'--set={each}' for each in SMALL),
  ]

  def scale(cores):
    return subprocess.run(
      [*command, f'--cores={cores}'],
      cwd=ROOT,
      env=os.environ
      | {'JAX_COMPILATION_CACHE_DIR': '', 'PYTHONPATH': str(ROOT)},
      capture_output=True,
      text=True,
      check=False,
      timeout=600,
    )

  first = scale('8')
  assert first.returncode == 0, first.stderr
  # With 64 images on 8 cores both modes are the same row.
  assert len([*tmp_path.glob('*.json')]) == 1
  assert 'too few steps to compare' in first.stdout
  both = scale('8,128')
  assert both.returncode == 0, both.stderr
  assert both.stderr.count('Compiling') == 1
  assert '| 128 | 0.5 |' in both.stdout
  assert 'a batch of 64 cannot be shared out evenly' in both.stdout
  assert '| 8 | 8 |' in both.stdout and '| 100.0 % |' in both.stdout
  page = tmp_path / 'scaling_quickstart_v3.md'
  assert page.read_text() == both.stdout


@pytest.mark.slow
@pytest.mark.tpu_compile
@pytest.mark.skipif(
  importlib.util.find_spec('libtpu') is None,
  reason='needs libtpu (extra [tpu])',
)
def test_libtpu_knows_every_slice_by_its_number_of_cores():
  program = (
    'from semppl_jax.tools import compile_check\n'
    'from semppl_jax.tools.compile import topologies, tpu_aot\n'
    'compile_check._hide_accelerators()\n'
    'for chip in topologies.CHIPS:\n'
    '  for cores in topologies.core_counts(chip):\n'
    '    topology = topologies.with_cores(chip, cores)\n'
    '    assert len(tpu_aot.devices(topology)) == cores, topology\n'
    'for row in topologies.ROWS:\n'
    '  assert tpu_aot.devices(row.topology)\n'
  )
  done = _python(program)
  assert done.returncode == 0, done.stderr
