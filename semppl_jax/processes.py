"""Several processes of one run that wait for each other."""

from orbax.checkpoint import multihost

# Longer than any compilation; what dies is noticed by its missing heartbeat.
_PATIENCE = 3600


def meet(where: str) -> None:
  """Returns when every process of the run has called it for this place.

  Before a first exchange between devices: over Gloo, as CPUs have it, one
  gives up after 30 seconds if a slower host is still compiling.
  """
  wait = multihost.get_barrier_sync_fn()
  wait(key=where, timeout_ms=1000 * _PATIENCE)
