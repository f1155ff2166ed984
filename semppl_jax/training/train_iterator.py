"""What a run is fed with: a batch for every step, or its train set once."""

from collections.abc import Iterator
import logging
from typing import Any, Protocol

import jax

from semppl_jax.data import in_memory, pipeline
from semppl_jax.data.corrupt import CorruptCount
from semppl_jax.data.pipeline import HostBatch
from semppl_jax.data.prefetch import Prefetcher
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.runtime.errors import InputError
from semppl_jax.training.experiment import Experiment

_log = logging.getLogger(__name__)


class Given(Protocol):
  """What the steps are given, one after the other, on the devices.

  Attributes:
    waited: seconds that steps have waited for it, in all.
  """

  waited: float

  def __next__(self) -> tuple[Any, dict[str, float]]:
    """Returns what the next step is given, and figures of it to be logged."""
    ...

  def close(self) -> None:
    """Ends the threads that it has."""
    ...


class Feed(Protocol):
  """What feeds a run.

  Attributes:
    corrupt: counts the images that could not be read.
  """

  corrupt: CorruptCount

  def start(self, step: int) -> Given:
    """Returns what the steps from `step` on are given."""
    ...

  def at(self, step: int) -> Any:
    """Returns what one step is given, on the devices."""
    ...


def make(experiment: Experiment) -> Feed:
  """Makes the feed of a run; decodes the train set where the devices hold it.

  Raises:
    InputError: the data cannot be used.
  """
  made = _Resident if experiment.config.data.backend == 'device' else _Streamed
  return made(experiment)


class _Streamed:
  """Batches of the host, a few ready ahead."""

  def __init__(self, experiment: Experiment):
    self._job = experiment
    self.corrupt = CorruptCount(
      experiment.splits.train, experiment.config.data.max_corrupt
    )

  def start(self, step: int) -> Given:
    return Prefetcher(
      self._readable(step),
      lambda host: (self._to_global(host.batch), _figures(host)),
      self._job.config.data.prefetch,
    )

  def at(self, step: int) -> Any:
    return self._to_global(next(self._batches(step)).batch)

  def _to_global(self, batch: Any) -> Any:
    return mesh_lib.to_global(self._job.mesh, batch)

  def _batches(self, start: int) -> Iterator[HostBatch]:
    return pipeline.train_batches(
      self._job.config,
      self._job.splits.train,
      self._job.subset,
      start_step=start,
      process_index=jax.process_index(),
      process_count=jax.process_count(),
      support=self._job.method.support,
    )

  def _readable(self, start: int) -> Iterator[HostBatch]:
    """This process's batches; too many unreadable images stop an epoch.

    Raises:
      InputError: there are too many, or the data fails in another way.
    """
    size, examples = self._job.config.batch_size, self._job.splits.train.size
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
  """What is logged of the rows of this process."""
  if host.unmasked is None:
    return {}
  return {'data/masks_missing': host.unmasked / len(host.batch.label)}


class _Resident:
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
    whole = mesh_lib.replicated(experiment.mesh)
    self._figures = loaded.figures
    self._pool = jax.tree.map(
      lambda x: jax.make_array_from_callback(
        x.shape, whole, lambda part, x=x: x[part]
      ),
      loaded.pool,
    )
    size = sum(x.nbytes for x in jax.tree.leaves(loaded.pool))
    _log.info(
      'The train set is on the devices, %.2f GiB on each.', size / 2**30
    )

  def start(self, step: int) -> Given:
    del step  # What a step draws depends on it inside of the step.
    return _Same(self._pool, self._figures)

  def at(self, step: int) -> Any:
    del step
    return self._pool


class _Same:
  """The same thing for ever, at no cost."""

  waited = 0.0

  def __init__(self, given: Any, figures: dict[str, float]):
    self._given = given, figures

  def __next__(self) -> tuple[Any, dict[str, float]]:
    return self._given

  def close(self) -> None:
    """Keeps nothing that needs an end."""
