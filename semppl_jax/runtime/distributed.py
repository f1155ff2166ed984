"""Several processes of one run: they join, wait, agree and shut down."""

import collections
from collections.abc import Callable, Mapping
import contextlib
import json
import socket
import time

import jax
from jax.experimental import multihost_utils
import numpy as np

from semppl_jax.runtime import signals
from semppl_jax.runtime.errors import InputError

# Seconds. A process that dies within a step is noticed by its missing
# heartbeat, where the network does not report it earlier.
_HEARTBEAT = 40
_SHUTDOWN = 20
# Longer than any compilation.
_BARRIER = 3600
# Words in a device error that is caused by the loss of another process.
_PEER_FAILURES = (
  'gloo', 'nccl', 'connection', 'heartbeat', 'socket', 'unavailable',
  'coordination service', 'barrier', 'another task', 'preempted',
)  # fmt: skip
# Differing values that a message lists.
_MAX_SHOWN = 4


class JoinError(InputError):
  """The processes of a run cannot find each other, or differ."""


def join(
  coordinator: str | None,
  count: int | None,
  index: int | None,
  timeout: int,
  abort: Callable[[str], object],
) -> None:
  """Joins the other processes of a run; before any device is touched.

  Without a coordinator JAX finds all three, on TPU pods, SLURM and Open MPI.

  Args:
    coordinator: `'host:port'` of process 0.
    count: number of processes.
    index: of this process, from 0.
    timeout: seconds to wait for the others.
    abort: called with a sentence after the timeout; must end the process, since
      JAX waits where nothing can be raised.

  Raises:
    JoinError: impossible values, or a coordinator that does not answer.
  """
  _check(coordinator, count, index)
  deadline = time.monotonic() + timeout
  if coordinator and index:
    _wait_for(coordinator, deadline, timeout)
  place = f'--coordinator={coordinator}' if coordinator else 'found by JAX'
  late = (
    f'Not all {count or "the"} processes of the run came within {timeout} s'
    f' (this is process {"?" if index is None else index}, {place}). Start one'
    ' on each host, all with the same --coordinator and --processes.'
  )
  with signals.timer(deadline - time.monotonic(), abort, late):
    try:
      jax.distributed.initialize(
        coordinator,
        count,
        index,
        # Ours comes first: JAX's own ends the process without a word.
        initialization_timeout=2 * timeout + 60,
        heartbeat_timeout_seconds=_HEARTBEAT,
      )
    except ValueError as error:
      raise JoinError(
        f'--distributed found no cluster ({error}): name'
        ' --coordinator=HOST:PORT, --processes=NUMBER and --process=INDEX.'
      ) from error


def _check(
  coordinator: str | None, count: int | None, index: int | None
) -> None:
  if coordinator is None and count is None and index is None:
    return
  if coordinator is None or count is None or index is None:
    raise JoinError(
      '--coordinator, --processes and --process are needed together, or none'
      ' of them where JAX finds the others by itself.'
    )
  host, _, port = coordinator.rpartition(':')
  if not host or not port.isdecimal() or not 0 < int(port) < 65536:
    raise JoinError(
      f'--coordinator={coordinator} must be HOST:PORT, with a port from 1 to'
      ' 65535.'
    )
  if not 0 <= index < count:
    raise JoinError(
      f'--process={index} must be from 0 to {count - 1}, of'
      f' --processes={count}.'
    )


def _wait_for(coordinator: str, deadline: float, timeout: int) -> None:
  """Returns when something listens at the coordinator's address."""
  host, _, port = coordinator.rpartition(':')
  reason: OSError | None = None
  while time.monotonic() < deadline:
    try:
      with socket.create_connection((host.strip('[]'), int(port)), timeout=5):
        return
    except OSError as error:
      reason = error
    time.sleep(0.5)
  raise JoinError(
    f'The coordinator at {coordinator} does not answer after {timeout} s'
    f' ({reason}): start process 0 there, and let the others reach that port.'
  )


def barrier(name: str, timeout: int = _BARRIER) -> None:
  """Returns when every process of the run has called it with this name.

  Needed before a first exchange between devices: over Gloo, which CPUs use, an
  exchange fails after 30 seconds if a slower host is still compiling.
  """
  from orbax.checkpoint import multihost

  multihost.get_barrier_sync_fn()(key=name, timeout_ms=1000 * timeout)


def shutdown_barrier() -> None:
  """Waits until the other processes are about to exit with their own message.

  If one exits before, JAX ends the others in the middle of theirs.
  """
  with contextlib.suppress(Exception):  # Some may be gone already.
    barrier('shutdown', _SHUTDOWN)
  if jax.process_index() == 0:  # Process 0 is the coordinator of the others.
    time.sleep(2)


def is_peer_failure(error: Exception) -> bool:
  """Returns True if a device error says that another process is gone."""
  if jax.process_count() == 1:
    return False
  text = str(error).lower()
  return any(word in text for word in _PEER_FAILURES)


def require_equal(values: Mapping[str, object]) -> None:
  """Stops a run whose processes differ in a value or their device count.

  Args:
    values: JSON values by name.

  Raises:
    JoinError: on every process; names the differences and the processes.
  """
  if jax.process_count() == 1:
    return
  devices = collections.Counter(d.process_index for d in jax.devices())
  if len(set(devices.values())) > 1:
    raise JoinError(
      'Every process of a run must have as many devices as the others; process'
      f' {_distinct({str(i): n for i, n in devices.items()})}.'
    )
  barrier('require_equal')
  differences = _differences(
    [json.loads(text) for text in _all_gather_text(json.dumps(dict(values)))]
  )
  if differences:
    raise JoinError(
      'The processes of a run must all have the same version and config:'
      f' {"; ".join(differences)}.'
    )


def _differences(by_process: list[dict[str, object]]) -> list[str]:
  """Returns a clause for each value that two processes differ in."""
  result = []
  for name in sorted(set().union(*by_process)):
    values = {str(i): x.get(name) for i, x in enumerate(by_process)}
    if len({json.dumps(v) for v in values.values()}) > 1:
      result.append(f'{name} on process {_distinct(values)}')
  return result


def _distinct(values: Mapping[str, object]) -> str:
  """Lists the first process of each value: `0: 4, 3: 2`."""
  first = {}
  for process, value in values.items():
    first.setdefault(json.dumps(value), (process, value))
  return ', '.join(f'{i}: {v!r}' for i, v in [*first.values()][:_MAX_SHOWN])


def _all_gather_text(text: str) -> list[str]:
  """Returns the text of every process, in their order."""
  mine = np.frombuffer(text.encode(), np.uint8)
  lengths = multihost_utils.process_allgather(np.asarray(mine.size, np.int32))
  padded = np.zeros(int(np.max(lengths)), np.uint8)
  padded[: mine.size] = mine
  rows = multihost_utils.process_allgather(padded)
  return [
    bytes(row[:length]).decode()
    for row, length in zip(rows, np.ravel(lengths), strict=True)
  ]
