"""Runs a config from start to summary; the only owner of time and disk.

The loop only dispatches: the devices are a few steps behind, the next batches
are on their way, metrics are read when their step is over, and checkpoints
are written in the background.
"""

import collections
from collections.abc import Iterator, Sequence
import contextlib
import logging
import os
import time
from typing import Any

from etils import epath
import jax
from jax.experimental import multihost_utils
import jax.numpy as jnp
import ml_collections
import numpy as np

from semppl_jax import __version__
from semppl_jax.data import labels, masks
from semppl_jax.data.corrupt import CorruptCount
from semppl_jax.evaluators import online
from semppl_jax.models import weights as weights_lib
from semppl_jax.runtime import (
  device_memory,
  distributed,
  files as files_lib,
  mesh as mesh_lib,
)
from semppl_jax.runtime.errors import InputError, StoppedError
from semppl_jax.runtime.signals import Interrupts
from semppl_jax.training import (
  aot,
  experiment as experiment_lib,
  nonfinite,
  run_facts,
  summary,
  train_iterator as train_iterator_lib,
)
from semppl_jax.training.checkpoint import (
  BEST_METRIC,
  Checkpointer,
  plain_config,
)
from semppl_jax.training.experiment import Experiment
from semppl_jax.training.metric_writer import Logbook
from semppl_jax.training.timer import Stopwatch
from semppl_jax.training.train_iterator import Feed, Given
from semppl_jax.training.train_step import TrainState

_log = logging.getLogger(__name__)
# Steps that may be dispatched and not done: enough to hide the host's work,
# few enough to bound the batches in flight.
_AHEAD = 4
# Fields that may be others on each host.
_OF_A_HOST = (
  'data.path',
  'data.test_path',
  'data.labels_file',
  'data.saliency',
  'data.threads',
  'data.prefetch',
)


def run(
  config: ml_collections.ConfigDict,
  workdir: str | os.PathLike[str],
  devices: Sequence[Any] | None = None,
  interrupts: Interrupts | None = None,
) -> dict[str, Any] | None:
  """Trains, evaluates and saves; continues what it finds in `workdir`.

  Args:
    config: the run's config.
    workdir: directory of the run, or a bucket; made where it is missing.
    devices: devices to use (default: all).
    interrupts: those of a caller, entered, who has more to do than this run
      (default: its own).

  Returns:
    The summary, or None where the run was asked to stop before its end.

  Raises:
    errors.InputError: bad config or data, before anything is compiled,
      or more unreadable images than allowed.
    files.WorkdirError: nothing can be written to `workdir`.
    distributed.JoinError: the processes of the run are not alike.
    checkpoint.MismatchError: `workdir` holds another run.
    errors.NonFiniteError: the loss or a gradient is not finite.
  """
  with contextlib.ExitStack() as stack:
    interrupts = interrupts or stack.enter_context(Interrupts())
    distributed.require_equal(_shared_facts(config))
    experiment = experiment_lib.build(config, devices)
    # Each process may have read the data from a disk of its own.
    identity = experiment_lib.identity(experiment)
    distributed.require_equal(
      {
        'the train set': identity.data,
        'the labelled images': identity.labels,
        'the saliency masks': identity.masks,
      }
    )
    return _run(experiment, files_lib.path(workdir), interrupts)


def _shared_facts(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """What every process of a run must have alike."""
  fields = plain_config(config)
  return {
    'version of semppl_jax': __version__,
    'version of jax': jax.__version__,
    **{
      f'config.{name}': value
      for name, value in fields.items()
      if not name.startswith(_OF_A_HOST)
    },
  }


def _run(
  experiment: Experiment, workdir: epath.Path, interrupts: Interrupts
) -> dict[str, Any] | None:
  """Opens the files of a run, then trains and finishes it."""
  config = experiment.config
  files_lib.make_workdir(workdir)
  _log.info(
    'Training in %s on %s.', workdir, mesh_lib.describe(experiment.mesh)
  )
  distributed.barrier('start')
  checkpoints = Checkpointer(
    workdir, experiment_lib.identity(experiment), config.checkpoint.keep
  )
  with contextlib.closing(checkpoints):
    state = _first_state(experiment, checkpoints)
    start = int(state.step)
    done = summary.read(workdir)
    if start == experiment.total_steps and done is not None:
      _log.info(
        'This run is finished, and nothing is trained or evaluated again: %s.',
        workdir / summary.FILE,
      )
      return done
    if jax.process_index() == 0:
      labels.write_ids(
        workdir / 'labels.txt', experiment.subset, experiment.splits.train
      )
      (workdir / 'config.json').write_text(
        config.to_json_best_effort(indent=2) + '\n'
      )
      run_facts.write(workdir, experiment, start)
    log = Logbook(workdir, start, experiment.total_steps)
    watch = Stopwatch(workdir)
    with contextlib.closing(log), contextlib.closing(watch):
      finished = _train(
        experiment, state, checkpoints, log, watch, workdir, interrupts
      )
      if finished is None:
        return None
      return _finish(experiment, finished, log, watch, workdir)


def _first_state(
  experiment: Experiment, checkpoints: Checkpointer
) -> TrainState:
  """The newest checkpoint's state, or the initial one."""
  like = aot.abstract_state(experiment.step)
  step = checkpoints.latest_step()
  if step is not None:
    state = checkpoints.restore(step, like)
    _log.info('Continuing from step %d.', step)
    if experiment.config.on_nonfinite == 'stop':
      # What the run dropped under 'skip' before must not halt it now.
      state = state._replace(dropped=jnp.zeros_like(state.dropped))
    return state
  return initial_state(experiment)


def initial_state(experiment: Experiment) -> TrainState:
  """The state before the first step, laid out over the devices."""
  layout = experiment.step.state_sharding
  state = untrained_state(experiment)
  if experiment.weights is None:
    return state
  params, net_state, _ = weights_lib.merged(
    experiment.weights,
    state.params,
    state.net_state,
    experiment.config.init_heads,
  )
  return jax.jit(experiment.step.start, out_shardings=layout)(params, net_state)


def untrained_state(experiment: Experiment) -> TrainState:
  """A fresh state, whatever weights the run starts from."""
  layout = experiment.step.state_sharding
  return jax.jit(experiment.step.init, out_shardings=layout)()


def _log_step_memory(
  log: Logbook, step: int, compiled: jax.stages.Compiled
) -> None:
  """Logs the memory of the step, once in a run."""
  size = device_memory.step_gib(compiled)
  if size is not None and device_memory.STEP not in log.history:
    log.scalars(step, {device_memory.STEP: size})


def compile_step(experiment: Experiment, state: TrainState, given: Any):
  """Compiles the train step ahead of time: a changed shape is an error."""
  began = time.monotonic()
  lowered = aot.lower(experiment.step, state, given)
  try:
    compiled = lowered.compile()
  except jax.errors.JaxRuntimeError as error:
    if not device_memory.is_out_of_memory(error):
      raise
    message = device_memory.too_large(
      experiment.config, mesh_lib.describe(experiment.mesh)
    )
    raise InputError(message) from error
  _log.info('Compiled the step in %.0f s.', time.monotonic() - began)
  return compiled


def _check_input(corrupt: CorruptCount, log: Logbook, step: int) -> None:
  """Holds the unreadable images of all processes against the limit."""
  total = corrupt.count
  if jax.process_count() > 1:
    counts = multihost_utils.process_allgather(np.asarray(total, np.int32))
    total = int(np.sum(counts))
  if not total:
    return
  log.scalars(step, {'data/unreadable': total})
  try:
    corrupt.check(total)
  except ValueError as error:
    raise InputError(str(error)) from error


def _train(
  experiment: Experiment,
  state: TrainState,
  checkpoints: Checkpointer,
  log: Logbook,
  watch: Stopwatch,
  workdir: epath.Path,
  interrupts: Interrupts,
) -> TrainState | None:
  """Takes every step that is left; None where it was told to stop."""
  start = int(state.step)
  evaluate = online.make(
    experiment.config, experiment.step.network, experiment.mesh
  )

  def judged(step: int) -> bool:
    if not experiment.eval_every:
      return False
    return step == experiment.total_steps or step % experiment.eval_every == 0

  def scores_of(step: int, state: TrainState) -> dict[str, float]:
    with watch.timed(step, 'evaluation'):
      scores = evaluate(
        state, experiment.splits, experiment.subset, interrupts.received
      )
    if scores:
      log.scalars(step, scores)
    return scores

  if start and judged(start) and not checkpoints.evaluated(start):
    try:
      scores_of(start, state)
    except StoppedError:
      return None
  if start == experiment.total_steps:
    return state
  began = time.monotonic()
  feed = train_iterator_lib.make(experiment)
  with contextlib.closing(feed.start(start)) as batches:
    with watch.timed(start, 'first batch'):
      given, figures = next(batches)
    _log.info(
      'Saliency masks: %s.',
      masks.describe(experiment.config, experiment.splits.train),
    )
    with watch.timed(start, 'compile'):
      compiled = compile_step(experiment, state, given)
    distributed.barrier('first step')
    if interrupts.should_stop(start):
      _log.info('Asked to stop before the first step: nothing new to save.')
      return None
    _log_step_memory(log, start, compiled)
    meter = _Meter(experiment.config.batch_size, batches)
    running = collections.deque()
    watch.train()
    for step in range(start + 1, experiment.total_steps + 1):
      state, metrics = compiled(state, given)
      running.append(metrics['loss/total'])
      if step == start + 1:
        jax.block_until_ready(metrics['loss/total'])
        _log.info('First step after %.0f s.', time.monotonic() - began)
      if len(running) > _AHEAD:
        jax.block_until_ready(running.popleft())
      last, stop = step == experiment.total_steps, interrupts.should_stop(step)
      save = last or judged(step) or stop or step % experiment.save_every == 0
      if last or step % experiment.log_every == 0:
        log.record(step, metrics, meter.read(step) | figures)
      # Before a checkpoint, everything: a restart does not repeat its steps.
      lines = log.flush(None if save else step - _AHEAD)
      _raise_if_stopped(experiment, feed, lines, state, compiled, workdir)
      log.advance(step)
      if save:
        with meter.paused():
          scores = {}
          # What a stop leaves out is evaluated when the run goes on.
          if judged(step) and not stop:
            try:
              scores = scores_of(step, state)
            except StoppedError:
              stop = True
          with watch.timed(step, 'checkpoint'):
            _save(
              experiment,
              feed,
              checkpoints,
              step,
              state,
              scores,
              compiled,
              workdir,
            )
        _check_input(feed.corrupt, log, step)
      if stop:
        checkpoints.wait()
        _log.info(
          'Asked to stop: saved step %d. The same command goes on from there.',
          step,
        )
        return None
      if not last:
        try:
          given, figures = next(batches)
        except Exception:  # Whatever the input fails with, keep the work.
          # Of several processes the others may not have failed, nor save.
          if jax.process_count() == 1:
            _save(
              experiment, feed, checkpoints, step, state, {}, compiled, workdir
            )
            checkpoints.wait()
          raise
    checkpoints.wait()
    return state


def _save(
  experiment, feed: Feed, checkpoints, step, state, scores, compiled, workdir
) -> None:
  """Saves a state that is known to be good."""
  if experiment.config.on_nonfinite == 'stop' and int(state.dropped):
    nonfinite.stop(experiment, feed, state, compiled, workdir)
  best = {BEST_METRIC: scores['best']} if 'best' in scores else None
  checkpoints.save(step, state, best)


def _raise_if_stopped(
  experiment, feed: Feed, lines, state, compiled, workdir
) -> None:
  """Stops the run where a written record says that an update was dropped."""
  if experiment.config.on_nonfinite == 'stop' and any(
    line.get('dropped') for line in lines
  ):
    nonfinite.stop(experiment, feed, state, compiled, workdir)


def _finish(
  experiment: Experiment,
  state: TrainState,
  log: Logbook,
  watch: Stopwatch,
  workdir: epath.Path,
) -> dict[str, Any]:
  """Evaluates the floors and writes the summary."""
  floors = {}
  if experiment.config.eval.baselines:
    evaluate = online.make(
      experiment.config, experiment.step.network, experiment.mesh
    )
    with watch.timed(experiment.total_steps, 'floors'):
      floors = evaluate.floors(
        untrained_state(experiment), experiment.splits, experiment.subset
      )
  log.flush()
  result = summary.make(experiment, log, floors, workdir)
  if jax.process_index() == 0:
    summary.write(workdir, result)
  return result


class _Meter:
  """Images per second and share of time spent waiting for input."""

  def __init__(self, batch_size: int, batches: Given):
    self._batch_size, self._batches = batch_size, batches
    self._step: int | None = None
    self._reset(None)

  def _reset(self, step: int | None) -> None:
    self._since, self._waited = time.monotonic(), self._batches.waited
    self._step = step

  def read(self, step: int) -> dict[str, float]:
    """Figures since the last reading; none for the first one."""
    seconds = time.monotonic() - self._since
    waited = self._batches.waited - self._waited
    before, result = self._step, {}
    self._reset(step)
    if before is not None and seconds > 0:
      images = (step - before) * self._batch_size
      result = {
        'images_per_second': images / seconds,
        'input_wait': waited / seconds,
      }
    return result

  @contextlib.contextmanager
  def paused(self) -> Iterator[None]:
    """Leaves the time of an evaluation or a checkpoint out."""
    began = time.monotonic()
    yield
    self._since += time.monotonic() - began
