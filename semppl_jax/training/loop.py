"""Training loop: runs a config from start to summary.

It alone owns time and disk. The loop only dispatches: the devices are a few
steps behind, the next inputs are on their way, metrics are read when their step
is over, and checkpoints are written in the background.
"""

import collections
from collections.abc import Mapping, Sequence
import contextlib
import logging
import os
import time

from etils import epath
import jax
from jax.experimental import multihost_utils
import jax.numpy as jnp
import ml_collections
import numpy as np

from semppl_jax.data import labels, masks
from semppl_jax.evaluators import online
from semppl_jax.runtime import (
  distributed,
  files as files_lib,
  mesh as mesh_lib,
)
from semppl_jax.runtime.errors import InputError, StoppedError
from semppl_jax.runtime.mesh import Device
from semppl_jax.runtime.signals import Interrupts
from semppl_jax.training import (
  aot,
  experiment as experiment_lib,
  nonfinite,
  summary,
)
from semppl_jax.training.checkpoint import BEST_METRIC, Checkpointer
from semppl_jax.training.experiment import Experiment
from semppl_jax.training.metric_writer import log_step_memory, MetricWriter
from semppl_jax.training.profiling import Profiler, StepWindow
from semppl_jax.training.timer import Throughput, Timer
from semppl_jax.training.train_iterator import make_train_input, TrainIterator
from semppl_jax.training.train_step import StepInput, TrainState

_log = logging.getLogger(__name__)
# Steps that may be dispatched and not done: enough to hide the host's work,
# few enough to bound the batches in flight.
_MAX_INFLIGHT = 4


def run(
  config: ml_collections.ConfigDict,
  workdir: str | os.PathLike[str],
  devices: Sequence[Device] | None = None,
  interrupts: Interrupts | None = None,
  profile: StepWindow | None = None,
) -> summary.Summary | None:
  """Trains, evaluates and saves; continues what it finds in `workdir`.

  Args:
    config: config of the run.
    workdir: directory of the run, or a bucket; made where it is missing.
    devices: devices to use (default: all).
    interrupts: those of a caller, entered, who has more to do than this run
      (default: its own).
    profile: steps to profile, into `profile/` below `workdir`.

  Returns:
    The summary, or None if the run was asked to stop before its end.

  Raises:
    InputError: bad config or data, before anything is compiled, or more
      unreadable images than allowed; as WorkdirError, `workdir` cannot be
      written; as JoinError, the processes of the run differ; as MismatchError,
      `workdir` holds another run.
    NonFiniteError: the loss or a gradient is not finite.
  """
  with contextlib.ExitStack() as stack:
    interrupts = interrupts or stack.enter_context(Interrupts())
    distributed.require_equal(experiment_lib.shared_settings(config))
    experiment = experiment_lib.build(config, devices)
    # Each process may have read the data from its own disk.
    identity = experiment_lib.identity(experiment)
    distributed.require_equal(
      {
        'the train set': identity.data,
        'the labelled images': identity.labels,
        'the saliency masks': identity.masks,
      }
    )
    directory = files_lib.path(workdir)
    files_lib.make_workdir(directory)
    _log.info(
      'Training in %s on %s.', directory, mesh_lib.describe(experiment.mesh)
    )
    distributed.barrier('start')
    checkpoints = stack.enter_context(
      contextlib.closing(
        Checkpointer(directory, identity, experiment.config.checkpoint.keep)
      )
    )
    state = _restore_or_init(experiment, checkpoints)
    done = summary.read(directory)
    if int(state.step) == experiment.total_steps and done is not None:
      _log.info(
        'This run is finished; nothing is trained or evaluated again: %s.',
        directory / summary.FILE,
      )
      return done
    start = int(state.step)
    if jax.process_index() == 0:
      _describe_run(experiment, directory, start)
    trainer = _Trainer(
      experiment, directory, checkpoints, interrupts, profile, start, stack
    )
    finished = trainer.train(state)
    return None if finished is None else trainer.finish()


def _restore_or_init(
  experiment: Experiment, checkpoints: Checkpointer
) -> TrainState:
  """Returns the state of the newest checkpoint, or else the initial one."""
  step = checkpoints.latest_step()
  if step is None:
    return experiment_lib.initial_state(experiment)
  state = checkpoints.restore(step, aot.abstract_state(experiment.step))
  _log.info('Continuing from step %d.', step)
  if experiment.config.on_nonfinite == 'stop':
    # Updates that the run dropped under 'skip' must not stop it now.
    state = state._replace(dropped=jnp.zeros_like(state.dropped))
  return state


def _describe_run(
  experiment: Experiment, workdir: epath.Path, start: int
) -> None:
  """Writes the files that say what the run is."""
  labels.write_ids(
    workdir / 'labels.txt', experiment.subset, experiment.splits.train
  )
  (workdir / 'config.json').write_text(
    experiment.config.to_json_best_effort(indent=2) + '\n'
  )
  summary.write_run(workdir, experiment, start)


class _Trainer:
  """The steps of one run, with its files open; `stack` closes them."""

  def __init__(
    self,
    experiment: Experiment,
    workdir: epath.Path,
    checkpoints: Checkpointer,
    interrupts: Interrupts,
    profile: StepWindow | None,
    start: int,
    stack: contextlib.ExitStack,
  ):
    self._experiment, self._workdir = experiment, workdir
    self._checkpoints, self._interrupts = checkpoints, interrupts
    self._evaluate = online.OnlineEvaluator(
      experiment.config, experiment.step.network, experiment.mesh
    )
    self._writer = MetricWriter(workdir, start, experiment.total_steps)
    self._timer = Timer(workdir)
    self._profiler = Profiler(profile, workdir / 'profile')
    for opened in (self._writer, self._timer, self._profiler):
      stack.enter_context(contextlib.closing(opened))

  def train(self, state: TrainState) -> TrainState | None:
    """Takes the remaining steps; returns None if asked to stop."""
    start, total = int(state.step), self._experiment.total_steps
    if self._should_evaluate(start) and not self._checkpoints.evaluated(start):
      try:
        self._scores(start, state)
      except StoppedError:
        return None
    if start == total:
      return state
    self._input = make_train_input(self._experiment)
    with contextlib.closing(self._input.iterate(start)) as batches:
      return self._take_steps(state, batches)

  def _take_steps(
    self, state: TrainState, batches: TrainIterator
  ) -> TrainState | None:
    start, total = int(state.step), self._experiment.total_steps
    began = time.monotonic()
    inputs, figures = self._first_input(batches, start)
    self._compiled = self._compile(state, inputs)
    if self._interrupts.should_stop(start):
      _log.info('Asked to stop before the first step: nothing new to save.')
      return None
    log_step_memory(self._writer, start, self._compiled)
    throughput = Throughput(self._experiment.config.batch_size, batches)
    inflight = collections.deque()
    self._timer.start_training()
    for step in range(start + 1, total + 1):
      with self._profiler.step(step) as results:
        state, metrics = self._compiled(state, inputs)
        results(metrics)
      inflight.append(metrics['loss/total'])
      if step == start + 1:
        jax.block_until_ready(metrics['loss/total'])
        _log.info('First step after %.0f s.', time.monotonic() - began)
      if len(inflight) > _MAX_INFLIGHT:
        jax.block_until_ready(inflight.popleft())
      stop = self._interrupts.should_stop(step)
      save = stop or self._should_save(step)
      if step == total or step % self._experiment.log_every == 0:
        self._writer.record(step, metrics, throughput.read(step) | figures)
      # Before a checkpoint, everything: a restart does not repeat its steps.
      records = self._writer.flush(None if save else step - _MAX_INFLIGHT)
      self._stop_on_dropped(records, state)
      self._writer.advance(step)
      if save:
        with throughput.paused():
          stop = self._evaluate_and_save(step, state, stop)
      if stop:
        self._checkpoints.wait()
        _log.info(
          'Asked to stop: saved step %d; the same command continues from it.',
          step,
        )
        return None
      if step < total:
        inputs, figures = self._next_input(batches, step, state)
    self._checkpoints.wait()
    return state

  def _first_input(
    self, batches: TrainIterator, start: int
  ) -> tuple[StepInput, dict[str, float]]:
    with self._timer.timed(start, 'first batch'):
      inputs, figures = next(batches)
    _log.info(
      'Saliency masks: %s.',
      masks.describe(self._experiment.config, self._experiment.splits.train),
    )
    return inputs, figures

  def _compile(
    self, state: TrainState, inputs: StepInput
  ) -> jax.stages.Compiled:
    start = int(state.step)
    with self._timer.timed(start, 'compile'):
      compiled = aot.compile_step(self._experiment.step, state, inputs)
    distributed.barrier('first step')
    return compiled

  def _next_input(
    self, batches: TrainIterator, step: int, state: TrainState
  ) -> tuple[StepInput, dict[str, float]]:
    try:
      return next(batches)
    except Exception:  # However the input fails, keep the work.
      # With several processes, the others may not have failed, nor save.
      if jax.process_count() == 1:
        self._save(step, state, {})
        self._checkpoints.wait()
      raise

  def _should_evaluate(self, step: int) -> bool:
    every = self._experiment.eval_every
    if not step or not every:
      return False
    return step == self._experiment.total_steps or step % every == 0

  def _should_save(self, step: int) -> bool:
    return (
      step == self._experiment.total_steps
      or self._should_evaluate(step)
      or step % self._experiment.save_every == 0
    )

  def _scores(self, step: int, state: TrainState) -> dict[str, float]:
    """Evaluates a state and writes the scores; raises StoppedError."""
    with self._timer.timed(step, 'evaluation'):
      scores = self._evaluate(
        state,
        self._experiment.splits,
        self._experiment.subset,
        self._interrupts.received,
      )
    if scores:
      self._writer.scalars(step, scores)
    return scores

  def _evaluate_and_save(
    self, step: int, state: TrainState, stop: bool
  ) -> bool:
    """Writes a checkpoint with its scores; returns True to stop after it."""
    scores = {}
    # An evaluation that a stop leaves out is made when the run continues.
    if self._should_evaluate(step) and not stop:
      try:
        scores = self._scores(step, state)
      except StoppedError:
        stop = True
    with self._timer.timed(step, 'checkpoint'):
      self._save(step, state, scores)
    self._check_unreadable(step)
    return stop

  def _save(
    self, step: int, state: TrainState, scores: Mapping[str, float]
  ) -> None:
    """Saves a state that is known to be finite."""
    if self._experiment.config.on_nonfinite == 'stop' and int(state.dropped):
      self._stop_on_nonfinite(state)
    best = {BEST_METRIC: scores['best']} if 'best' in scores else None
    self._checkpoints.save(step, state, best)

  def _stop_on_dropped(
    self, records: Sequence[Mapping[str, float]], state: TrainState
  ) -> None:
    """Stops the run if a written record says that an update was dropped."""
    if self._experiment.config.on_nonfinite == 'stop' and any(
      record.get('dropped') for record in records
    ):
      self._stop_on_nonfinite(state)

  def _stop_on_nonfinite(self, state: TrainState) -> None:
    nonfinite.stop(
      self._experiment, self._input, state, self._compiled, self._workdir
    )

  def _check_unreadable(self, step: int) -> None:
    """Compares the unreadable images of all processes with the limit."""
    corrupt = self._input.corrupt
    total = corrupt.count
    if jax.process_count() > 1:
      counts = multihost_utils.process_allgather(np.asarray(total, np.int32))
      total = int(np.sum(counts))
    if not total:
      return
    self._writer.scalars(step, {'data/unreadable': total})
    try:
      corrupt.check(total)
    except ValueError as error:
      raise InputError(str(error)) from error

  def finish(self) -> summary.Summary:
    """Evaluates the baselines and writes the summary."""
    experiment = self._experiment
    baselines = {}
    if experiment.config.eval.baselines:
      with self._timer.timed(experiment.total_steps, 'floors'):
        baselines = self._evaluate.baselines(
          experiment_lib.untrained_state(experiment),
          experiment.splits,
          experiment.subset,
        )
    self._writer.flush()
    result = summary.make(experiment, self._writer, baselines, self._workdir)
    if jax.process_index() == 0:
      summary.write(self._workdir, result)
    return result
