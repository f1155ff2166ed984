"""Two processes of four devices are one process of eight."""

import jax
import program
import pytest
import tiny

STEPS = 8


@pytest.mark.slow
def test_two_processes_are_one(images, tmp_path):
  config = program.write_config(tmp_path, images, STEPS)
  status, output = program.finish(
    program.start(
      f'--config={config}', f'--workdir={tmp_path / "one"}', devices=8
    )
  )
  assert status == 0, output
  port = program.free_port()
  processes = [
    program.start(
      f'--config={config}',
      f'--workdir={tmp_path / "two"}',
      '--distributed',
      f'--coordinator=127.0.0.1:{port}',
      '--processes=2',
      f'--process={index}',
      devices=4,
    )
    for index in range(2)
  ]
  for process in processes:
    status, output = program.finish(process)
    assert status == 0, output
  states = [
    tiny.final_state(tiny.config(images, STEPS), tmp_path / name)
    for name in ('one', 'two')
  ]
  assert states[0][0] == states[1][0] == STEPS == len(jax.devices())
  tiny.assert_close(states[0][1].memory, states[1][1].memory)
  tiny.assert_close(states[0][1].params, states[1][1].params)
