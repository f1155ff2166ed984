"""What the programs share."""

import signal
import threading

from semppl_jax import program


def test_the_clock_asks_to_stop_when_the_time_is_over():
  came = threading.Event()
  before = signal.signal(signal.SIGTERM, lambda *_: came.set())
  try:
    with program.clock(0.05 / 60):
      assert came.wait(10)
    came.clear()
    for minutes in (None, 0.0, 0.05 / 60):  # The last one is in time.
      with program.clock(minutes):
        pass
    assert not came.wait(0.2)
  finally:
    signal.signal(signal.SIGTERM, before)
