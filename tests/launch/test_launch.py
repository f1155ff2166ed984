"""Launch scripts, with a simulated cloud, scheduler and trainer."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
import yaml

FAKES = pathlib.Path(__file__).parent / 'fakes'
LAUNCH = FAKES.parents[2] / 'launch'
SCRIPTS = ('tpu_vm.sh', 'multi_gpu.sh', 'slurm.sbatch', 'kubernetes.sh')
SETTINGS = {
  'tpu_vm.sh': {'ZONE': 'here', 'WORKDIR': 'gs://bucket/run'},
  'multi_gpu.sh': {'WORKDIR': '/runs/one'},
  'slurm.sbatch': {'WORKDIR': '/runs/one', 'SLURM_JOB_ID': '7'},
  'kubernetes.sh': {'WORKDIR': 'gs://bucket/run', 'IMAGE': 'here/image'},
}


@pytest.fixture
def fake(tmp_path):
  path = tmp_path / 'fake'
  path.mkdir()
  return path


def _start(fake, script, *arguments, **settings):
  environment = {
    'PATH': f'{FAKES}:{os.environ["PATH"]}',
    'HOME': str(fake),
    'FAKE': str(fake),
    # Not by PATH, where a fake one is.
    'REAL_PYTHON': sys.executable,
    'POLL': '0.2',
    'PYTHON': str(FAKES / 'trainer'),
    'RESULTS': str(fake / 'results'),
    **SETTINGS[script],
    **settings,
  }
  return subprocess.Popen(
    [LAUNCH / script, *arguments],
    env=environment,
    cwd=fake,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def _launch(fake, script, *arguments, **settings):
  """Returns exit status, standard output and standard error."""
  process = _start(fake, script, *arguments, **settings)
  output, said = process.communicate(timeout=60)
  return process.returncode, output, said


def _lines(path) -> list[str]:
  return path.read_text().splitlines() if path.exists() else []


def _count(fake, words) -> int:
  return sum(words in line for line in _lines(fake / 'calls'))


@pytest.mark.parametrize('script', (*SCRIPTS, 'common.sh'))
def test_shellcheck_finds_nothing(script):
  program = pathlib.Path(sys.executable).with_name('shellcheck')
  found = subprocess.run(
    [program, '-x', LAUNCH / script],
    capture_output=True,
    text=True,
    check=False,
    cwd=LAUNCH.parent,
  )
  assert found.returncode == 0, found.stdout


@pytest.mark.parametrize('script', SCRIPTS)
def test_a_dry_run_prints_the_command_and_does_nothing(fake, script):
  status, output, said = _launch(
    fake, script, '--dry-run', FLAGS='--config.seed=3 --config.batch_size=64'
  )
  assert status == 0, said
  plain = output.replace('\\', '').replace('","', ' ')
  assert 'semppl_jax.main --config=configs/resnet50_10pct.py' in plain
  assert '--config.seed=3 --config.batch_size=64' in plain
  assert ('--distributed' in plain) == (script != 'multi_gpu.sh')
  assert not [*fake.iterdir()]


@pytest.mark.parametrize('script', SCRIPTS)
@pytest.mark.parametrize(
  'arguments,settings,sentence',
  [
    ((), {'WORKDIR': ''}, 'WORKDIR is required: the directory of the run'),
    ((), {'CONFIG': 'configs/none.py'}, 'CONFIG=configs/none.py not found'),
    ((), {'RESTARTS': 'often'}, 'RESTARTS=often must be a number'),
    ((), {'NAME': 'My Run'}, 'NAME=My Run must be lower-case letters'),
    (('--force',), {}, 'Unknown flag --force'),
    (('again',), {}, 'again'),
  ],
)
def test_bad_input_is_one_sentence(fake, script, arguments, settings, sentence):
  status, output, said = _launch(fake, script, *arguments, **settings)
  assert (status, output) == (2, '')
  assert sentence in said and len(said.splitlines()) == 1
  assert not [*fake.iterdir()]


def test_a_slice_runs_is_fetched_and_deleted(fake):
  status, output, said = _launch(fake, 'tpu_vm.sh', SPOT='1')
  assert status == 0, said
  steps = [line for line in output.splitlines() if line.startswith('step ')]
  assert steps == [f'step {n}' for n in range(1, 11)]
  assert (fake / 'results' / 'step').read_text() == '10\n'
  assert not (fake / 'vm').exists()
  assert _count(fake, '--accelerator-type=v3-128') == 1
  assert _count(fake, '--spot') == 1
  (trained,) = _lines(fake / 'trained')
  assert '--workdir=gs://bucket/run --distributed' in trained


@pytest.mark.parametrize('queued', ['', '1'])
def test_a_preempted_run_continues_from_its_checkpoint(fake, queued):
  (fake / 'preempt_at').write_text('3 6')
  (fake / 'no_capacity_at').write_text('2 3')
  (fake / 'queue_says').write_text('WAITING_FOR_RESOURCES PROVISIONING')
  status, output, said = _launch(fake, 'tpu_vm.sh', QUEUED=queued)
  assert status == 0, said
  # The end of the log of a deleted slice may be missing in the output.
  assert _lines(fake / 'continued_from') == ['0', '3', '6']
  assert 'continuing from step 6' in output
  assert 'finished' in output and 'PREEMPTED' in said
  assert (fake / 'results' / 'step').read_text() == '10\n'
  assert not (fake / 'vm').exists()


@pytest.mark.parametrize('ends,starts', [('1\n137\n', 3), ('75\n', 2)])
def test_a_failed_program_restarts_on_its_slice(fake, ends, starts):
  (fake / 'ends_with').write_text(ends)
  status, output, said = _launch(fake, 'tpu_vm.sh')
  assert status == 0, said
  assert len(_lines(fake / 'trained')) == starts
  assert _count(fake, 'tpu-vm create') == 1
  assert output.count('\nstep 3\n') == 1  # No line of the log twice.


def test_bad_input_is_not_restarted_and_deletes_the_slice(fake):
  (fake / 'ends_with').write_text('2\n')
  status, _, said = _launch(fake, 'tpu_vm.sh')
  assert status == 2 and 'not restarted' in said
  assert len(_lines(fake / 'trained')) == 1
  assert not (fake / 'vm').exists()


def test_restarts_are_limited(fake):
  (fake / 'ends_with').write_text('1\n' * 9)
  status, _, said = _launch(fake, 'tpu_vm.sh', RESTARTS='2')
  assert status == 1 and 'after 2 restarts' in said
  assert len(_lines(fake / 'trained')) == 3
  assert not (fake / 'vm').exists()


def test_an_existing_slice_is_not_used(fake):
  assert _launch(fake, 'tpu_vm.sh', 'create')[0] == 0
  status, _, said = _launch(fake, 'tpu_vm.sh')
  assert status == 2 and 'A slice semppl already exists in here' in said
  assert (fake / 'vm').exists()
  assert _launch(fake, 'tpu_vm.sh', 'delete')[0] == 0
  assert not (fake / 'vm').exists()


def test_keep_does_not_delete_the_slice(fake):
  status, _, said = _launch(fake, 'tpu_vm.sh', KEEP='1')
  assert status == 0 and 'is kept and still billed' in said
  assert (fake / 'vm').exists()


@pytest.mark.parametrize(
  'script,settings,sentence',
  [
    ('tpu_vm.sh', {'ZONE': ''}, 'ZONE is required: the zone of the slice'),
    ('tpu_vm.sh', {'WORKDIR': 'runs/x'}, 'must be a bucket'),
    ('kubernetes.sh', {'IMAGE': ''}, 'IMAGE is required'),
    ('kubernetes.sh', {'TOPOLOGY': '4x4'}, '4x4 has 16 chips, but HOSTS=16'),
    ('kubernetes.sh', {'TOPOLOGY': 'big'}, 'must be a shape'),
    ('slurm.sbatch', {'SLURM_JOB_ID': ''}, 'This is a Slurm job'),
  ],
)
def test_settings_of_one_script_are_checked(fake, script, settings, sentence):
  status, _, said = _launch(fake, script, **settings)
  assert status == 2 and sentence in said, said
  assert not [*fake.iterdir()]


def test_a_gpu_machine_restarts_and_finishes(fake):
  (fake / 'ends_with').write_text('1\n')
  status, output, said = _launch(fake, 'multi_gpu.sh')
  assert status == 0, said
  assert len(_lines(fake / 'trained')) == 2
  assert 'continuing from step 3' in output


def test_a_signal_reaches_the_program_of_a_machine(fake):
  process = _start(fake, 'multi_gpu.sh')
  while not (fake / 'bucket' / 'step').exists():
    time.sleep(0.02)
  process.send_signal(signal.SIGTERM)
  output, _ = process.communicate(timeout=60)
  assert process.returncode == 75 and 'saved' in output
  assert len(_lines(fake / 'trained')) == 1


def test_a_saved_job_is_requeued(fake):
  (fake / 'ends_with').write_text('1\n75\n')
  status, output, _ = _launch(fake, 'slurm.sbatch')
  assert status == 0 and 'finished' not in output
  assert _lines(fake / 'calls') == ['scontrol requeue 7']
  status, output, _ = _launch(fake, 'slurm.sbatch')
  assert status == 0 and 'finished' in output
  assert len(_lines(fake / 'trained')) == 3
  assert _count(fake, 'requeue') == 1


def test_a_jobset_has_what_was_asked(fake):
  status, _, said = _launch(
    fake, 'kubernetes.sh', HOSTS='2', TOPOLOGY='2x4', FLAGS='--config.seed=3'
  )
  assert status == 0, said
  made = yaml.safe_load((fake / 'applied').read_text())
  (workers,) = made['spec']['replicatedJobs']
  job = workers['template']['spec']
  pod = job['template']['spec']
  (container,) = pod['containers']
  assert '$' not in str(made)
  assert made['metadata']['name'] == 'semppl'
  assert made['spec']['failurePolicy']['maxRestarts'] == 20
  assert job['parallelism'] == job['completions'] == 2
  assert job['podFailurePolicy']['rules'][0]['onExitCodes']['values'] == [2]
  assert pod['nodeSelector']['cloud.google.com/gke-tpu-topology'] == '2x4'
  assert container['image'] == 'here/image'
  assert container['args'] == [
    '-m', 'semppl_jax.main', '--config=configs/resnet50_10pct.py',
    '--workdir=gs://bucket/run', '--config.seed=3', '--distributed',
  ]  # fmt: skip
  assert container['resources']['limits'] == {'google.com/tpu': 4}
