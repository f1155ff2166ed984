"""Iterator whose items a thread computes ahead, such as device arrays."""

from collections.abc import Callable, Iterator
import queue
import threading
import time
from typing import Generic, TypeVar

_In = TypeVar('_In')
_Out = TypeVar('_Out')


class Prefetcher(Generic[_Out]):
  """Iterates over `make(item)`, computed ahead by a thread.

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
