"""Time of a run: `timing.jsonl`, and throughput.

`timing.jsonl` has a line for each stretch of `work`, with the `step` at which
it ended and its `seconds`. Together they are the time from the first batch to
the last line; nothing is cut on a resume, so that steps of a killed run count
twice.
"""

from collections.abc import Iterator
import contextlib
import json
import time
from typing import Protocol

from etils import epath
import jax

FILE = 'timing.jsonl'
TRAINING = 'training'


class Timer:
  """Writes `timing.jsonl`; only the first process does."""

  def __init__(self, workdir: epath.Path):
    self._open = contextlib.ExitStack()
    self._file = None
    if jax.process_index() == 0:
      self._file = self._open.enter_context((workdir / FILE).open('a'))
    self._training: float | None = None

  def start_training(self) -> None:
    """From now on, time that belongs to no other work is training."""
    self._training = time.monotonic()

  @contextlib.contextmanager
  def timed(self, step: int, work: str) -> Iterator[None]:
    """Times work for which the training waits at a step."""
    start = time.monotonic()
    if self._training is not None:
      self._write(step, TRAINING, start - self._training)
    try:
      yield
    finally:
      # Also of work that was given up.
      end = time.monotonic()
      self._write(step, work, end - start)
      if self._training is not None:
        self._training = end

  def close(self) -> None:
    """Closes the file."""
    self._open.close()

  def _write(self, step: int, work: str, seconds: float) -> None:
    if self._file is not None:
      line = {'step': step, 'work': work, 'seconds': round(seconds, 4)}
      self._file.write(json.dumps(line) + '\n')
      self._file.flush()


class _Waiting(Protocol):
  waited: float


class Throughput:
  """Images per second, and share of the time spent waiting for input."""

  def __init__(self, batch_size: int, iterator: _Waiting):
    self._batch_size, self._iterator = batch_size, iterator
    self._step: int | None = None
    self._reset(None)

  def _reset(self, step: int | None) -> None:
    self._since, self._waited = time.monotonic(), self._iterator.waited
    self._step = step

  def read(self, step: int) -> dict[str, float]:
    """Returns figures since the last reading; none for the first one."""
    seconds = time.monotonic() - self._since
    waited = self._iterator.waited - self._waited
    last, figures = self._step, {}
    self._reset(step)
    if last is not None and seconds > 0:
      images = (step - last) * self._batch_size
      figures = {
        'images_per_second': images / seconds,
        'input_wait': waited / seconds,
      }
    return figures

  @contextlib.contextmanager
  def paused(self) -> Iterator[None]:
    """Leaves out the time of an evaluation or a checkpoint."""
    start = time.monotonic()
    yield
    self._since += time.monotonic() - start
