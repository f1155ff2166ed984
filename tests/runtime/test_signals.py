"""Signals: recorded for later, or raised at once."""

import gc
import os
import signal

import pytest

from semppl_jax.runtime import signals

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@pytest.mark.parametrize('number', _SIGNALS)
def test_a_signal_ends_the_work_and_is_then_what_it_was(number):
  before = signal.getsignal(number)
  with pytest.raises(KeyboardInterrupt), signals.raise_at_signal():
    os.kill(os.getpid(), number)
  assert signal.getsignal(number) is before


@pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')
@pytest.mark.parametrize('number', _SIGNALS)
def test_a_signal_that_is_dropped_in_a_callback_is_not_forgotten(number):
  def stopped(phase, info):
    del phase, info
    gc.callbacks.remove(stopped)
    os.kill(os.getpid(), number)

  with signals.raise_at_signal() as unless_stopped:
    unless_stopped()
    gc.callbacks.append(stopped)
    gc.collect()
    with pytest.raises(KeyboardInterrupt):
      unless_stopped()


@pytest.mark.parametrize('number', _SIGNALS)
def test_a_signal_is_recorded_for_the_end_of_a_step(number, capfd):
  before = signal.getsignal(number)
  with signals.Interrupts() as interrupts:
    assert not interrupts.received() and not interrupts.should_stop(1)
    os.kill(os.getpid(), number)
    assert interrupts.received() and interrupts.should_stop(1)
  assert signal.getsignal(number) is before
  assert ('again to stop' in capfd.readouterr().err) == (number == _SIGNALS[1])


def test_a_second_ctrl_c_stops_at_once():
  # A shell starts what is in its background without this.
  before = signal.signal(signal.SIGINT, signal.default_int_handler)
  try:
    with pytest.raises(KeyboardInterrupt), signals.Interrupts():
      os.kill(os.getpid(), signal.SIGINT)
      os.kill(os.getpid(), signal.SIGINT)
  finally:
    signal.signal(signal.SIGINT, before)
