"""Two processes of four devices are one process of eight."""

import os
import signal
import subprocess
import sys

import jax
import program
import pytest
import tiny

STEPS = 8


def _start_two(config, workdir):
  port = program.free_port()
  return [
    program.start(
      f'--config={config}',
      f'--workdir={workdir}',
      '--distributed',
      f'--coordinator=127.0.0.1:{port}',
      '--processes=2',
      f'--process={index}',
      devices=4,
    )
    for index in range(2)
  ]


def _finish(processes):
  """Waits for all; every one must succeed. Returns their outputs."""
  done = [program.finish(process) for process in processes]
  for status, output in done:
    assert status == 0, output
  return [output for _, output in done]


@pytest.mark.slow
@pytest.mark.parametrize('method', ['semppl', 'paws'])
def test_two_processes_are_one(images, tmp_path, method):
  """With a queue in their memory, and with support batches between them."""
  config = program.write_config(tmp_path, images, STEPS, method)
  one = program.start(
    f'--config={config}', f'--workdir={tmp_path / "one"}', devices=8
  )
  _finish([one])
  _finish(_start_two(config, tmp_path / 'two'))
  states = [
    tiny.final_state(tiny.config(images, STEPS, method), tmp_path / name)
    for name in ('one', 'two')
  ]
  assert states[0][0] == states[1][0] == STEPS == len(jax.devices())
  tiny.assert_close(states[0][1].memory, states[1][1].memory)
  tiny.assert_close(states[0][1].params, states[1][1].params)


@pytest.mark.slow
def test_a_signal_to_one_process_stops_both_and_they_go_on(images, tmp_path):
  steps = 24
  config = program.write_config(tmp_path, images, steps)
  workdir = tmp_path / 'run'
  processes = _start_two(config, workdir)
  program.wait_for_step(workdir, 3, processes[0])
  processes[1].send_signal(signal.SIGTERM)
  outputs = _finish(processes)
  saved = {text.split('saved step ')[1].split('.')[0] for text in outputs}
  assert len(saved) == 1 and 3 <= int(saved.pop()) < steps
  assert not (workdir / 'summary.json').exists()
  outputs = _finish(_start_two(config, workdir))
  assert 'Continuing from step' in outputs[0]
  assert (workdir / 'summary.json').exists()


_MEETING = """
import sys, time, jax
from semppl_jax import processes
index = int(sys.argv[2])
jax.distributed.initialize(f'127.0.0.1:{sys.argv[1]}', 2, index)
for late in (0, 1):
  came = time.monotonic()
  time.sleep(2 * (index == late))
  processes.meet('here')
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
