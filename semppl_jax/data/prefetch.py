"""Batches made ready on the devices while the last step computes."""

from collections.abc import Callable, Iterator
import queue
import threading
import time
from typing import Any

_END = object()


class Prefetcher:
  """Iterates over `make(item)`, computed ahead by a thread.

  Use it as a context manager, or call `close`.

  Attributes:
    waited: seconds that the consumer has waited for an item, in all.
  """

  def __init__(
    self, items: Iterator[Any], make: Callable[[Any], Any], depth: int
  ) -> None:
    """Starts the thread.

    Args:
      items: what to take; only the thread touches it.
      make: turns an item into what the consumer gets, such as device arrays.
      depth: results kept ready, at least 1.

    Raises:
      ValueError: `depth` is below 1.
    """
    if depth < 1:
      raise ValueError(f'config.data.prefetch={depth} must be at least 1.')
    self.waited = 0.0
    self._ready: queue.Queue[Any] = queue.Queue(depth)
    self._stop = threading.Event()
    self._finished = False
    self._thread = threading.Thread(
      target=self._run, args=(items, make), name='prefetch', daemon=True
    )
    self._thread.start()

  def __iter__(self) -> 'Prefetcher':
    return self

  def __next__(self) -> Any:
    """Returns the next result; raises what `items` or `make` raised."""
    if self._finished or self._stop.is_set():
      raise StopIteration
    start = time.perf_counter()
    result, error = self._ready.get()
    self.waited += time.perf_counter() - start
    if error is not None:
      self._finished = True
      raise error
    if result is _END:
      self._finished = True
      raise StopIteration
    return result

  def __enter__(self) -> 'Prefetcher':
    return self

  def __exit__(self, *unused: object) -> None:
    self.close()

  def close(self) -> None:
    """Stops the thread and drops what was ready; may be called twice."""
    self._stop.set()
    # A thread that waits for room in the queue looks at the stop only then.
    while self._thread.is_alive():
      self._drop()
      self._thread.join(0.05)
    self._drop()

  def _drop(self) -> None:
    while not self._ready.empty():
      self._ready.get_nowait()

  def _run(self, items: Iterator[Any], make: Callable[[Any], Any]) -> None:
    try:
      for item in items:
        if self._stop.is_set():
          return
        self._ready.put((make(item), None))
        # Not kept alive here while the next item is made.
        del item
      self._ready.put((_END, None))
    except BaseException as error:
      self._ready.put((None, error))
