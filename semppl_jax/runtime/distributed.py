"""Several processes of one run: how they join, wait and part."""

from collections.abc import Callable
import contextlib
import socket
import time
from typing import Any

import jax
from orbax.checkpoint import multihost

from semppl_jax.runtime import alarm

# Seconds. What dies in mid-step is noticed by its missing heartbeat, where the
# network does not tell earlier.
_HEARTBEAT = 40
_FAREWELL = 20
# Longer than any compilation.
_PATIENCE = 3600
# What an error of the devices says when it is another process that is gone.
_GONE = (
  'gloo', 'nccl', 'connection', 'heartbeat', 'socket', 'unavailable',
  'coordination service', 'barrier', 'another task', 'preempted',
)  # fmt: skip


class JoinError(ValueError):
  """The processes of a run cannot find each other, or are not alike."""


def join(
  coordinator: str | None,
  count: int | None,
  index: int | None,
  patience: int,
  give_up: Callable[[str], Any],
) -> None:
  """Joins the other processes of a run; before any device is touched.

  Without a coordinator all three are found by JAX, on TPU pods, SLURM and Open
  MPI.

  Args:
    coordinator: `'host:port'` of process 0.
    count: number of processes.
    index: of this process, from 0.
    patience: seconds to wait for the others.
    give_up: called with a sentence when they are over; must end the process,
      since JAX waits where nothing can be raised.

  Raises:
    JoinError: impossible values, or a coordinator that does not answer.
  """
  _check(coordinator, count, index)
  deadline = time.monotonic() + patience
  if coordinator and index:
    _wait_for(coordinator, deadline, patience)
  late = (
    f'Not all {count or "the"} processes of the run came within {patience} s'
    f' (this is process {"?" if index is None else index},'
    f' {_place(coordinator)}). Start one on each'
    ' host, all with the same --coordinator and --processes.'
  )
  with alarm.after(deadline - time.monotonic(), give_up, late):
    try:
      jax.distributed.initialize(
        coordinator,
        count,
        index,
        # Ours comes first: JAX's own ends the process without a word.
        initialization_timeout=2 * patience + 60,
        heartbeat_timeout_seconds=_HEARTBEAT,
      )
    except ValueError as error:
      raise JoinError(
        f'--distributed found no cluster ({error}): name'
        ' --coordinator=HOST:PORT, --processes=NUMBER and --process=INDEX.'
      ) from error


def _place(coordinator: str | None) -> str:
  return f'--coordinator={coordinator}' if coordinator else 'found by JAX'


def _check(coordinator, count, index) -> None:
  """Stops on flags that cannot be."""
  named = [x is not None for x in (coordinator, count, index)]
  if any(named) and not all(named):
    raise JoinError(
      '--coordinator, --processes and --process are needed together, or none'
      ' of them where JAX finds the others by itself.'
    )
  if not any(named):
    return
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


def _wait_for(coordinator: str, deadline: float, patience: int) -> None:
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
    f'The coordinator at {coordinator} does not answer after {patience} s'
    f' ({reason}): start process 0 there, and let the others reach that port.'
  )


def meet(where: str) -> None:
  """Returns when every process of the run has called it for this place.

  Before a first exchange between devices: over Gloo, as CPUs have it, one
  gives up after 30 seconds if a slower host is still compiling.
  """
  wait = multihost.get_barrier_sync_fn()
  wait(key=where, timeout_ms=1000 * _PATIENCE)


def part() -> None:
  """Waits until the others are about to end too, each with its own words.

  Where one goes before, JAX ends the others in the middle of theirs.
  """
  with contextlib.suppress(Exception):  # Some may be gone already.
    wait = multihost.get_barrier_sync_fn()
    wait(key='part', timeout_ms=1000 * _FAREWELL)
  if jax.process_index() == 0:  # The others hang on the first one.
    time.sleep(2)


def lost(error: Exception) -> bool:
  """Whether an error of the devices says that another process is gone."""
  if jax.process_count() == 1:
    return False
  text = str(error).lower()
  return any(word in text for word in _GONE)
