"""What all processes of a run must have alike."""

import collections
from collections.abc import Mapping
import json
from typing import Any

import jax
from jax.experimental import multihost_utils
import numpy as np

from semppl_jax.runtime import distributed
from semppl_jax.runtime.distributed import JoinError


def must_agree(facts: Mapping[str, Any]) -> None:
  """Stops a run whose processes do not all say the same.

  Args:
    facts: names and values that JSON can hold.

  Raises:
    JoinError: on every process; names what differs, and where.
  """
  if jax.process_count() == 1:
    return
  devices = collections.Counter(d.process_index for d in jax.devices())
  if len(set(devices.values())) > 1:
    raise JoinError(
      'Every process of a run must have as many devices as the others; process'
      f' {_listed({str(i): n for i, n in devices.items()})}.'
    )
  # Over Gloo what comes late is given up.
  distributed.meet('agree')
  said = _exchange(json.dumps(dict(facts)))
  different = _differences([json.loads(text) for text in said])
  if different:
    raise JoinError(
      'The processes of a run must all have the same version and config:'
      f' {"; ".join(different)}.'
    )


def _differences(said: list[dict[str, Any]]) -> list[str]:
  """A part of a sentence for each fact that two processes differ in."""
  names = sorted(set().union(*said))
  result = []
  for name in names:
    values = {str(i): facts.get(name) for i, facts in enumerate(said)}
    if len({json.dumps(v) for v in values.values()}) > 1:
      result.append(f'{name} on process {_listed(values)}')
  return result


def _listed(values: dict[str, Any], most: int = 4) -> str:
  """First of those with each value, as `0: 4, 3: 2`."""
  first = {}
  for place, value in values.items():
    first.setdefault(json.dumps(value), (place, value))
  return ', '.join(f'{i}: {v!r}' for i, v in [*first.values()][:most])


def _exchange(text: str) -> list[str]:
  """Returns what every process says, in their order."""
  mine = np.frombuffer(text.encode(), np.uint8)
  lengths = multihost_utils.process_allgather(np.asarray(mine.size, np.int32))
  padded = np.zeros(int(np.max(lengths)), np.uint8)
  padded[: mine.size] = mine
  rows = multihost_utils.process_allgather(padded)
  return [
    bytes(row[:length]).decode()
    for row, length in zip(rows, np.ravel(lengths), strict=True)
  ]
