"""Several processes are one, and what befalls one befalls all."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import jax
import pytest

from semppl_jax.training import loop
from tests.helpers import program, tiny

pytestmark = pytest.mark.multiprocess
STEPS = 8
# An error of a lost process comes within, at the latest by its heartbeat.
NOTICED = 60


def _start(
  config, workdir, count, devices=1, extra=lambda index: (), report=False
):
  """Starts the processes of one run; `extra` are flags of some of them."""
  port = program.free_port()
  return [
    program.start(
      f'--config={config}',
      f'--workdir={workdir}',
      '--distributed',
      f'--coordinator=127.0.0.1:{port}',
      f'--processes={count}',
      f'--process={index}',
      *extra(index),
      devices=devices(index) if callable(devices) else devices,
      report=report,
    )
    for index in range(count)
  ]


def _finish(processes, want=0):
  """Waits for all; every one must end so. Returns their outputs."""
  done = [program.finish(process) for process in processes]
  for status, output in done:
    assert status == want, output
  return [output for _, output in done]


def _assert_ends_as_one_process(config, root):
  """The run in `root` / 'several' is that of one process of four devices."""
  loop.run(config, root / 'one', jax.devices()[:4])
  states = [
    tiny.final_state(config, root / name, jax.devices()[:4])
    for name in ('one', 'several')
  ]
  assert states[0][0] == states[1][0]
  assert config.duration == f'{states[0][0]} steps'
  tiny.assert_close(states[0][1].memory, states[1][1].memory)
  tiny.assert_close(states[0][1].params, states[1][1].params)


@pytest.mark.slow
def test_two_diverge_in_one_sentence(images, tmp_path):
  """Also where rows that are on record lie in both of them."""
  config = program.write_config(tmp_path, images, STEPS)
  flags = (
    '--config.optimizer.name=sgd',
    '--config.optimizer.learning_rate=1e38',
  )
  run = _start(config, tmp_path / 'run', 2, extra=lambda index: flags)
  for output in _finish(run, want=1):
    assert 'is not finite in' in output
    assert 'Traceback' not in output


@pytest.mark.slow
def test_two_end_with_a_page_and_their_own_rows(images, tmp_path):
  config = program.write_config(tmp_path, images, STEPS)
  run = _start(config, tmp_path / 'run', 2, report=True)
  first, second = _finish(run)
  page = tmp_path / 'run' / 'report.html'
  assert f'Report: {page}' in first and 'Report:' not in second
  assert 'made without images and features' in page.read_text()
  lines = (tmp_path / 'run' / 'pseudo_labels.jsonl').read_text().splitlines()
  assert len(lines) == STEPS
  # Of eight rows of the first process, those without a label.
  assert all(0 < len(json.loads(line)['index']) <= 8 for line in lines)


@pytest.mark.slow
def test_one_of_four_dies_and_two_go_on(images, tmp_path):
  """The rest stop within a minute; other processes continue from the files."""
  config = program.write_config(tmp_path, images, STEPS)
  workdir = tmp_path / 'several'
  four = _start(config, workdir, 4)
  program.wait_for_step(workdir, 3, four[0])
  four[2].send_signal(signal.SIGKILL)
  killed = time.monotonic()
  outputs = _finish([p for i, p in enumerate(four) if i != 2], want=1)
  assert time.monotonic() - killed < NOTICED
  assert program.finish(four[2])[0] == -signal.SIGKILL
  for output in outputs:
    assert 'Another process of the run is gone' in output
    assert 'Traceback' not in output
  outputs = _finish(_start(config, workdir, 2, devices=2))
  assert 'Continuing from step' in outputs[0]
  _assert_ends_as_one_process(tiny.config(images, STEPS), tmp_path)


@pytest.mark.slow
def test_two_processes_with_supports_are_one(images, tmp_path):
  # Of few steps: where an activation is next to zero, rounding decides whether
  # it passes, and each step enlarges what follows.
  run = (images, 4, 'paws', True)
  config = program.write_config(tmp_path, *run)
  _finish(_start(config, tmp_path / 'several', 2, devices=2))
  _assert_ends_as_one_process(tiny.config(*run), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
  'devices,extra,sentence',
  [
    (1, lambda i: [f'--config.seed={i}'], 'config.seed on process 0: 0, 1: 1'),
    (lambda i: 1 + i, lambda i: (), 'as many devices .* process 0: 1, 1: 2'),
    (1, lambda i: ['--config.seed=-1'] * i, 'config.seed'),
  ],
  ids=('config', 'devices', 'bad input of one'),
)
def test_processes_that_are_not_alike_stop_with_a_sentence(
  images, tmp_path, devices, extra, sentence
):
  config = program.write_config(tmp_path, images, STEPS)
  started = _start(config, tmp_path / 'run', 2, devices, extra)
  for output in _finish(started, want=2):
    assert re.search(sentence, output), output
    assert 'Traceback' not in output
  assert not (tmp_path / 'run').exists()


@pytest.mark.slow
def test_data_that_one_process_lacks_stops_all(images, tmp_path):
  config = program.write_config(tmp_path, images, STEPS)
  there, lacking = _start(
    config,
    tmp_path / 'run',
    2,
    extra=lambda i: ['--config.data.path=/nowhere'] * i,
  )
  status, output = program.finish(lacking)
  assert status == 2 and '/nowhere' in output, output
  status, output = program.finish(there, timeout=NOTICED)
  assert status not in (0, 75), output
  assert re.search('process of the run is gone|another task died', output)


@pytest.mark.slow
def test_the_first_process_alone_waits_no_longer_than_asked(images, tmp_path):
  config = program.write_config(tmp_path, images, STEPS)
  alone, *others = _start(
    config, tmp_path / 'run', 2, extra=lambda _: ['--join_seconds=20']
  )
  others[0].kill()
  (output,) = _finish([alone], want=1)
  program.finish(others[0])
  assert 'Not all 2 processes of the run came within 20 s' in output


@pytest.mark.slow
def test_a_signal_to_one_process_stops_both_and_they_go_on(images, tmp_path):
  steps = 24
  config = program.write_config(tmp_path, images, steps)
  workdir = tmp_path / 'run'
  processes = _start(config, workdir, 2)
  program.wait_for_step(workdir, 3, processes[0])
  processes[1].send_signal(signal.SIGTERM)
  outputs = _finish(processes, want=75)
  saved = {program.saved_step(text) for text in outputs}
  assert len(saved) == 1 and 3 <= saved.pop() < steps
  assert not (workdir / 'summary.json').exists()
  outputs = _finish(_start(config, workdir, 2))
  assert 'Continuing from step' in outputs[0]
  assert (workdir / 'summary.json').exists()


_MEETING = """
import sys, time, jax
from semppl_jax.runtime import distributed
index = int(sys.argv[2])
jax.distributed.initialize(f'127.0.0.1:{sys.argv[1]}', 2, index)
for late in (0, 1):
  came = time.monotonic()
  time.sleep(2 * (index == late))
  distributed.barrier('here')
  print(time.monotonic() - came)
"""


@pytest.mark.slow
def test_processes_wait_for_the_last_one():
  """At the same place twice, as a program does that trains twice."""
  port = str(program.free_port())
  environment = os.environ | {
    'JAX_PLATFORMS': 'cpu',
    'PYTHONPATH': str(program.ROOT),
  }
  both = [
    subprocess.Popen(
      [sys.executable, '-c', _MEETING, port, str(index)],
      env=environment,
      stdout=subprocess.PIPE,
      text=True,
    )
    for index in range(2)
  ]
  for output in _finish(both):
    first, second = map(float, output.split())
    assert first > 1.5 and second > 1.5
