"""Inputs of the train step: a batch for every step, or the train set once."""

from collections.abc import Callable, Iterator
import logging
import queue
import threading
import time
from typing import Generic, Protocol, TypeVar

import jax
import numpy as np

from semppl_jax.data import in_memory, pipeline
from semppl_jax.data.dataset import Dataset
from semppl_jax.data.pipeline import HostBatch
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.runtime.errors import count_and_names, InputError
from semppl_jax.training.experiment import Experiment
from semppl_jax.training.train_step import StepInput

_log = logging.getLogger(__name__)
_In = TypeVar('_In')
_Out = TypeVar('_Out')


class CorruptCount:
  """Counts unreadable images and stops a run that has too many.

  An epoch shows each image once, so the unreadable share of an epoch is that
  of the distinct images. Each process counts its own; `check` takes the sum.
  """

  def __init__(self, train: Dataset, limit: float) -> None:
    """Starts at zero.

    Args:
      train: the train set.
      limit: share of its images that may be unreadable, in [0, 1].
    """
    self._train = train
    self._limit = limit
    self._epoch: dict[int, None] = {}
    self._logged: set[int] = set()

  def start_epoch(self) -> None:
    """Restarts at zero; an image is still logged only once."""
    self._epoch = {}

  @property
  def count(self) -> int:
    """Distinct unreadable images of the epoch."""
    return len(self._epoch)

  def add(self, indices: np.ndarray) -> None:
    """Adds positions in the train set, int [n]; logs each image once.

    Raises:
      ValueError: more than the allowed share is unreadable.
    """
    for index in np.asarray(indices).tolist():
      self._epoch[index] = None
      if index not in self._logged:
        self._logged.add(index)
        _log.warning('Skipped an unreadable image: %s', self._train.ids[index])
    self.check(self.count)

  def check(self, total: int) -> None:
    """Compares the number of images of all processes with the limit.

    Raises:
      ValueError: more than the allowed share is unreadable.
    """
    share = total / self._train.size
    if share > self._limit:
      # A copy first: the thread that reads the input may add to it meanwhile.
      names = [self._train.ids[index] for index in list(self._epoch)]
      here = '' if total == len(names) else f' here and {total} in all'
      images = count_and_names(f'unreadable image(s){here}', names)
      raise ValueError(
        f'{self._train.name!r} has {images} ({share:.2%} of {self._train.size})'
        f'; config.data.max_corrupt={self._limit} allows {self._limit:.2%}.'
      )


class Prefetcher(Generic[_Out]):
  """Iterator over `make(item)`, such as device arrays, computed by a thread.

  Use it as a context manager, or call `close`.

  Attributes:
    waited: seconds that the consumer has waited for items, in total.
  """

  def __init__(
    self, items: Iterator[_In], make: Callable[[_In], _Out], depth: int
  ) -> None:
    """Starts the thread.

    Args:
      items: input; only the thread touches it.
      make: converts an item to what the consumer gets.
      depth: results kept ready, at least 1.

    Raises:
      ValueError: `depth` is below 1.
    """
    if depth < 1:
      raise ValueError(f'config.data.prefetch={depth} must be at least 1.')
    self.waited = 0.0
    # Results as tuples of one; or an exception, StopIteration at the end.
    self._ready: queue.Queue[tuple[_Out] | BaseException] = queue.Queue(depth)
    self._stop = threading.Event()
    self._finished = False
    self._thread = threading.Thread(
      target=self._run, args=(items, make), name='prefetch', daemon=True
    )
    self._thread.start()

  def __iter__(self) -> 'Prefetcher[_Out]':
    return self

  def __next__(self) -> _Out:
    """Returns the next result; raises what `items` or `make` raised."""
    if self._finished or self._stop.is_set():
      raise StopIteration
    start = time.perf_counter()
    result = self._ready.get()
    self.waited += time.perf_counter() - start
    if isinstance(result, BaseException):
      self._finished = True
      raise result
    return result[0]

  def __enter__(self) -> 'Prefetcher[_Out]':
    return self

  def __exit__(self, *unused: object) -> None:
    self.close()

  def close(self) -> None:
    """Stops the thread and drops ready results; may be called twice."""
    self._stop.set()
    # A thread that waits for room in the queue checks the event only then.
    while self._thread.is_alive():
      self._drop()
      self._thread.join(0.05)
    self._drop()

  def _drop(self) -> None:
    while not self._ready.empty():
      self._ready.get_nowait()

  def _run(self, items: Iterator[_In], make: Callable[[_In], _Out]) -> None:
    try:
      for item in items:
        if self._stop.is_set():
          return
        self._ready.put((make(item),))
        # Releases its memory while the next item is made.
        del item
      self._ready.put(StopIteration())
    except BaseException as error:
      self._ready.put(error)


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
