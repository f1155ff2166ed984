"""Metrics of a run: `metrics.jsonl`, TensorBoard and a progress bar.

Metrics stay on the devices until their step is over: writing them never makes
the next step wait.
"""

import collections
from collections.abc import Mapping
import contextlib
import datetime
import json
import logging
import math
import time
from typing import Any

from etils import epath
import jax
import numpy as np
from rich.console import Console
from rich.progress import (
  BarColumn,
  MofNCompleteColumn,
  Progress,
  TextColumn,
  TimeElapsedColumn,
  TimeRemainingColumn,
)

from semppl_jax.runtime import (
  device_memory,
  files as files_lib,
  mesh as mesh_lib,
)
from semppl_jax.training.pseudo_label_log import PseudoLabelLog
from semppl_jax.training.train_step import ROWS

_log = logging.getLogger(__name__)
# Unit embeddings spread evenly over the sphere have a deviation of 1.
COLLAPSE_DEVIATION = 0.1
_LINE_SECONDS = 20.0


class MetricWriter:
  """Writes the metrics of one run; only the first process writes.

  Attributes:
    history: every record of each scalar, as (step, value).
  """

  def __init__(self, workdir: epath.Path, start_step: int, total_steps: int):
    """Opens the files, and drops lines of steps after `start_step`."""
    self._main = jax.process_index() == 0
    self._pending = collections.deque()
    self._warned = False
    self._shown: dict[str, float] = {}
    self.history: dict[str, list[tuple[int, float]]] = {}
    if self._main:
      path = workdir / 'metrics.jsonl'
      for line in files_lib.truncate_json_lines(path, start_step):
        self._remember(line)
      # A file of a bucket can only be entered.
      self._open = contextlib.ExitStack()
      self._file = self._open.enter_context(path.open('a'))
      self._pseudo_labels = PseudoLabelLog(workdir, start_step)
      self._board = _TensorBoard(workdir / 'tensorboard')
      self._bar = _ProgressBar(start_step, total_steps)

  def record(
    self, step: int, metrics: Mapping[str, Any], host: Mapping[str, float]
  ) -> None:
    """Queues the metrics of a step, to be written once it is over."""
    self._pending.append((step, metrics, dict(host)))

  def flush(self, until: int | None = None) -> list[dict[str, float]]:
    """Writes and returns the records of steps up to `until` (default: all).

    The caller names a step that is over, so that nothing waits and every
    process reads the same records at the same moment.
    """
    written = []
    while self._pending and (until is None or self._pending[0][0] <= until):
      step, metrics, host = self._pending.popleft()
      rows = {k: v for k, v in metrics.items() if k.startswith(ROWS)}
      scalars = {k: v for k, v in metrics.items() if k not in rows}
      values = {k: float(v) for k, v in jax.device_get(scalars).items()}
      written.append(self.scalars(step, values | host))
      if rows and self._main:
        self._pseudo_labels.write(
          step,
          {
            name.removeprefix(ROWS): mesh_lib.local_rows(x)
            for name, x in rows.items()
          },
        )
    if until is None and self._main:
      self._board.flush()
    return written

  def scalars(self, step: int, values: Mapping[str, float]) -> dict[str, float]:
    """Writes finite numbers of the host at once and returns the record."""
    # JSON has no other numbers; `dropped` records a loss that is not finite.
    values = {k: float(v) for k, v in values.items() if math.isfinite(v)}
    line = {'step': step, **values}
    if not self._main:
      return line
    self._file.write(json.dumps(line) + '\n')
    self._file.flush()
    self._board.write(step, values)
    self._remember(line)
    self._shown.update(values)
    self._warn_of_collapse(step, values)
    return line

  def advance(self, step: int) -> None:
    """Moves the progress bar."""
    if self._main:
      self._bar.update(step, self._shown)

  def close(self) -> None:
    """Writes what is left and closes the files."""
    self.flush()
    if self._main:
      self._bar.close()
      self._board.close()
      self._pseudo_labels.close()
      self._open.close()

  def recent(self, name: str, share: float = 0.25) -> float | None:
    """Returns the mean of a metric over its last records, or None.

    Args:
      name: metric.
      share: share of its records, in (0, 1].
    """
    values = [v for _, v in self.history.get(name, ())]
    if not values:
      return None
    return float(np.mean(values[-max(1, round(share * len(values))) :]))

  def _remember(self, line: Mapping[str, float]) -> None:
    for name, value in line.items():
      if name != 'step':
        self.history.setdefault(name, []).append((int(line['step']), value))

  def _warn_of_collapse(self, step: int, values: Mapping[str, float]) -> None:
    deviation = values.get('deviation/projection')
    if deviation is None or deviation >= COLLAPSE_DEVIATION or self._warned:
      return
    self._warned = True
    _log.warning(
        'Step %d: the projections of the batch have a deviation of %.3f (1 is'
        ' an even spread): the embedding may be collapsing.', step, deviation
    )  # fmt: skip


def log_step_memory(
  writer: MetricWriter, step: int, compiled: jax.stages.Compiled
) -> None:
  """Records the device memory of a compiled step, once in a run."""
  size = device_memory.step_gib(compiled)
  if size is not None and device_memory.STEP not in writer.history:
    writer.scalars(step, {device_memory.STEP: size})


class _TensorBoard:
  """TensorBoard event files; none if TensorFlow is not installed."""

  def __init__(self, directory: epath.Path):
    self._writer = None
    try:
      from semppl_jax.data.tf.runtime import tf
    except ImportError:
      _log.info('No files for TensorBoard: TensorFlow is not installed.')
      return
    self._summary = tf.summary
    self._writer = tf.summary.create_file_writer(str(directory))

  def write(self, step: int, values: Mapping[str, float]) -> None:
    if self._writer is None:
      return
    with self._writer.as_default(step=step):
      for name, value in values.items():
        self._summary.scalar(name, value)

  def flush(self) -> None:
    """Writes what a kill after the next checkpoint would lose."""
    if self._writer is not None:
      self._writer.flush()

  def close(self) -> None:
    if self._writer is not None:
      self._writer.close()


class _ProgressBar:
  """Progress bar on a terminal; elsewhere a line every 20 seconds."""

  def __init__(self, start: int, total: int):
    self._console = Console(stderr=True)
    self._total = total
    self._start, self._began = start, time.monotonic()
    self._last_line = 0.0
    self._progress = None
    if self._console.is_terminal:
      self._progress = Progress(
        TextColumn('training'),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn('left'),
        TimeRemainingColumn(),
        TextColumn('{task.fields[note]}'),
        console=self._console,
      )
      self._task = self._progress.add_task(
        'training', total=total, completed=start, note=''
      )
      self._progress.start()

  def update(self, step: int, values: Mapping[str, float]) -> None:
    if self._progress is not None:
      self._progress.update(self._task, completed=step, note=_note(values))
      return
    now = time.monotonic()
    if now - self._last_line < _LINE_SECONDS and step < self._total:
      return
    self._last_line = now
    pace = (now - self._began) / max(step - self._start, 1)
    left = datetime.timedelta(seconds=round(pace * (self._total - step)))
    self._console.print(
      f'step {step}/{self._total}  left {left}  {_note(values)}',
      highlight=False,
      soft_wrap=True,
    )

  def close(self) -> None:
    if self._progress is not None:
      self._progress.stop()


def _note(values: Mapping[str, float]) -> str:
  """Formats the main figures of a step."""
  shown = (
    ('loss/total', 'loss {:.3f}'),
    ('images_per_second', '{:.0f} images/s'),
    ('input_wait', 'input wait {:.0%}'),
    ('pseudo/accuracy', 'pseudo-label accuracy {:.0%}'),
    ('best', 'k-NN {:.1%}'),
  )
  return '  '.join(
    form.format(values[name]) for name, form in shown if name in values
  )
