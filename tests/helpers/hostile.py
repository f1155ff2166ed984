"""Loads pickles that nobody should have to trust, and what it takes."""

import tracemalloc

import pytest

from semppl_jax.exchange import unpickle, unpickle_types
from semppl_jax.models.weights import WeightsError

ORIGIN = 'weights.pkl'


def load(data):
  size = len(data) if isinstance(data, bytes) else 0
  return unpickle.load(data, ORIGIN, unpickle_types.make_known(size))


def refusal(data):
  with pytest.raises(WeightsError) as caught:
    load(data)
  message = str(caught.value)
  assert message.startswith(ORIGIN) and message.endswith('.')
  assert '\n' not in message and len(message) < 600
  return message


class Calls:
  """Pickles as a call of `function`, which `pickle.load` would make."""

  def __init__(self, function, *arguments):
    self.call = (function, arguments)

  def __reduce__(self):
    return self.call


def peak(work):
  """Returns the result of `work` and the bytes that it took at most."""
  tracemalloc.start()
  try:
    return work(), tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()
