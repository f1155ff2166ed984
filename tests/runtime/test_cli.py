"""What the programs share."""

import signal
import sys
import threading

import jax
import pytest

from semppl_jax.runtime import cli, errors


def test_the_clock_asks_to_stop_when_the_time_is_over():
  came = threading.Event()
  before = signal.signal(signal.SIGTERM, lambda *_: came.set())
  try:
    with cli.stop_after(0.05 / 60):
      assert came.wait(10)
    came.clear()
    for minutes in (None, 0.0, 0.05 / 60):  # The last one is in time.
      with cli.stop_after(minutes):
        pass
    assert not came.wait(0.2)
  finally:
    signal.signal(signal.SIGTERM, before)


def _work(message):
  def work():
    raise jax.errors.JaxRuntimeError(message)

  return work


def test_a_full_device_is_a_sentence(monkeypatch, capsys):
  monkeypatch.setattr(cli, '_exit', sys.exit)
  with pytest.raises(SystemExit) as end:
    cli._report_errors(
      _work('RESOURCE_EXHAUSTED: 9 GiB of HBM.\nmore'), 'All is kept.'
    )
  assert end.value.code == errors.FAILED
  said = capsys.readouterr().err.splitlines()
  assert len(said) == 1
  assert 'memory of a device is full' in said[0]
  assert 'RESOURCE_EXHAUSTED: 9 GiB of HBM.). All is kept.' in said[0]


def test_what_no_sentence_is_known_for_keeps_its_traceback():
  with pytest.raises(jax.errors.JaxRuntimeError):
    cli._report_errors(_work('INTERNAL: a broken kernel'), '')
