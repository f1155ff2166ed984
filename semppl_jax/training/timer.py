"""Where the time of a run goes: `timing.jsonl`.

A line for each stretch of `work`, with the `step` at which it ended and its
`seconds`. Together they are the time from the first batch to the last line;
nothing is cut on a resume, so that steps of a killed run count twice.
"""

from collections.abc import Iterator
import contextlib
import json
import time

from etils import epath
import jax

FILE = 'timing.jsonl'
TRAINING = 'training'


class Stopwatch:
  """Writes the lines; only the first process does."""

  def __init__(self, workdir: epath.Path):
    """Takes no time yet."""
    self._open = contextlib.ExitStack()
    self._file = None
    if jax.process_index() == 0:
      self._file = self._open.enter_context((workdir / FILE).open('a'))
    self._training: float | None = None

  def train(self) -> None:
    """From now on time that belongs to no other work is training."""
    self._training = time.monotonic()

  @contextlib.contextmanager
  def timed(self, step: int, work: str) -> Iterator[None]:
    """Times some work for which the training waits at a step."""
    began = time.monotonic()
    if self._training is not None:
      self._write(step, TRAINING, began - self._training)
    try:
      yield
    finally:
      # Of work that was given up as well.
      ended = time.monotonic()
      self._write(step, work, ended - began)
      if self._training is not None:
        self._training = ended

  def close(self) -> None:
    """Closes the file."""
    self._open.close()

  def _write(self, step: int, work: str, seconds: float) -> None:
    if self._file is not None:
      line = {'step': step, 'work': work, 'seconds': round(seconds, 4)}
      self._file.write(json.dumps(line) + '\n')
      self._file.flush()
