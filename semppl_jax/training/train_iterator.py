"""Inputs of the train step: a batch for every step, or the train set once."""

from collections.abc import Iterator
import logging
from typing import Protocol

import jax

from semppl_jax.data import in_memory, pipeline
from semppl_jax.data.corrupt import CorruptCount
from semppl_jax.data.pipeline import HostBatch
from semppl_jax.data.prefetch import Prefetcher
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.runtime.errors import InputError
from semppl_jax.training.experiment import Experiment
from semppl_jax.training.train_step import StepInput

_log = logging.getLogger(__name__)


class TrainIterator(Protocol):
  """Inputs of successive steps, on the devices.

  Attributes:
    waited: seconds that steps have waited for it, in total.
  """

  waited: float

  def __next__(self) -> tuple[StepInput, dict[str, float]]:
    """Returns the input of the next step, and figures of it to log."""
    ...

  def close(self) -> None:
    """Ends its threads."""
    ...


class TrainInput(Protocol):
  """Source of the inputs of a run.

  Attributes:
    corrupt: counts the images that could not be read.
  """

  corrupt: CorruptCount

  def iterate(self, step: int) -> TrainIterator:
    """Returns the inputs of the steps after `step`."""
    ...

  def at(self, step: int) -> StepInput:
    """Returns the input of the step after `step`, on the devices."""
    ...


def make_train_input(experiment: Experiment) -> TrainInput:
  """Builds the input of a run; decodes the train set if the devices hold it.

  Raises:
    InputError: the data cannot be used.
  """
  if experiment.config.data.backend == 'device':
    return _DeviceInput(experiment)
  return _HostInput(experiment)


class _HostInput:
  """Batches of the host, some of them ready ahead."""

  def __init__(self, experiment: Experiment):
    config = experiment.config
    self._experiment = experiment
    self.corrupt = CorruptCount(
      experiment.splits.train, config.data.max_corrupt
    )

  def iterate(self, step: int) -> TrainIterator:
    return Prefetcher(
      self._readable(step),
      lambda host: (self._to_devices(host), _figures(host)),
      self._experiment.config.data.prefetch,
    )

  def at(self, step: int) -> StepInput:
    return self._to_devices(next(self._batches(step)))

  def _to_devices(self, host: HostBatch) -> StepInput:
    return mesh_lib.to_global(self._experiment.mesh, host.batch)

  def _batches(self, start: int) -> Iterator[HostBatch]:
    return pipeline.train_batches(
      self._experiment.config,
      self._experiment.splits.train,
      self._experiment.subset,
      start_step=start,
      process_index=jax.process_index(),
      process_count=jax.process_count(),
      support=self._experiment.method.support,
    )

  def _readable(self, start: int) -> Iterator[HostBatch]:
    """Yields this process's batches; too many unreadable images end an epoch.

    Raises:
      InputError: there are too many, or the data fails in another way.
    """
    size = self._experiment.config.batch_size
    examples = self._experiment.splits.train.size
    epoch = -1
    try:
      for step, host in enumerate(self._batches(start), start):
        if step * size // examples != epoch:
          epoch = step * size // examples
          self.corrupt.start_epoch()
        self.corrupt.add(host.corrupt)
        yield host
    except ValueError as error:
      raise InputError(str(error)) from error


def _figures(host: HostBatch) -> dict[str, float]:
  """Returns what is logged of the rows of this process."""
  if host.unmasked is None:
    return {}
  return {'data/masks_missing': host.unmasked / len(host.batch.label)}


class _DeviceInput:
  """The train set on every device, the same for all steps."""

  def __init__(self, experiment: Experiment):
    config, train = experiment.config, experiment.splits.train
    self.corrupt = CorruptCount(train, config.data.max_corrupt)
    try:
      loaded = in_memory.load(
        config, train, experiment.subset, experiment.method.support
      )
      self.corrupt.add(loaded.unreadable)
    except ValueError as error:
      raise InputError(str(error)) from error
    replicated = mesh_lib.replicated(experiment.mesh)
    self._figures = loaded.metrics
    self._pool = jax.tree.map(
      lambda x: jax.make_array_from_callback(
        x.shape, replicated, lambda part, x=x: x[part]
      ),
      loaded.dataset,
    )
    size = sum(x.nbytes for x in jax.tree.leaves(loaded.dataset))
    _log.info(
      'The train set is on the devices, %.2f GiB on each.', size / 2**30
    )

  def iterate(self, step: int) -> TrainIterator:
    del step  # The step itself draws its rows, by its number.
    return _Repeat(self._pool, self._figures)

  def at(self, step: int) -> StepInput:
    del step
    return self._pool


class _Repeat:
  """Repeats one input, at no cost."""

  waited = 0.0

  def __init__(self, inputs: StepInput, figures: dict[str, float]):
    self._item = inputs, figures

  def __next__(self) -> tuple[StepInput, dict[str, float]]:
    return self._item

  def close(self) -> None:
    """Has nothing to end."""
