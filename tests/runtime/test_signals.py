"""Programs that a signal ends at once."""

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
