"""Processes join and agree: what can be seen within one of them."""

import socket
import threading
import time

import jax
import numpy as np
import pytest

from semppl_jax.runtime import distributed


def _never(sentence):
  raise AssertionError(sentence)


@pytest.mark.parametrize(
  'named,sentence',
  [
    (('here:1', None, None), 'needed together'),
    ((None, 2, 1), 'needed together'),
    (('here', 2, 1), 'must be HOST:PORT'),
    ((':80', 2, 1), 'must be HOST:PORT'),
    (('here:http', 2, 1), 'must be HOST:PORT'),
    (('here:65536', 2, 1), '1 to 65535'),
    (('here:80', 2, 2), '--process=2 must be from 0 to 1'),
    (('here:80', 2, -1), '--process=-1 must be from 0 to 1'),
  ],
)
def test_impossible_flags_are_one_sentence(named, sentence):
  with pytest.raises(distributed.JoinError, match=sentence):
    distributed.join(*named, 1, _never)


def test_a_coordinator_that_does_not_answer_is_named():
  with socket.socket() as taken:
    taken.bind(('127.0.0.1', 0))  # It does not listen.
    address = f'127.0.0.1:{taken.getsockname()[1]}'
    began = time.monotonic()
    with pytest.raises(
      distributed.JoinError, match=f'{address} does not answer'
    ):
      distributed.join(address, 2, 1, 1, _never)
    assert 1 <= time.monotonic() - began < 5


def test_a_process_that_waits_too_long_aborts(monkeypatch):
  messages, ended = [], threading.Event()

  def abort(sentence):
    messages.append(sentence)
    ended.set()

  monkeypatch.setattr(
    jax.distributed, 'initialize', lambda *_, **__: ended.wait(10)
  )
  distributed.join('127.0.0.1:1', 3, 0, 1, abort)
  assert ended.is_set() and 'Not all 3 processes' in messages[0]


def test_a_process_in_time_does_not_abort(monkeypatch):
  asked = []
  monkeypatch.setattr(
    jax.distributed, 'initialize', lambda *args, **_: asked.append(args)
  )
  before = threading.active_count()
  distributed.join('127.0.0.1:1', 3, 0, 60, _never)
  distributed.join(None, None, None, 60, _never)
  assert asked == [('127.0.0.1:1', 3, 0), (None, None, None)]
  for _ in range(100):
    if threading.active_count() == before:
      break
    time.sleep(0.01)
  assert threading.active_count() == before


@pytest.mark.parametrize(
  'text,gone',
  [
    ('UNKNOWN: Gloo AllGather failed: Connection closed by peer', True),
    ('UNAVAILABLE: Failed to send RPC to coordination service', True),
    ('INTERNAL: NCCL operation failed', True),
    ('RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes', False),
  ],
)
def test_an_error_tells_whether_another_process_is_gone(
  monkeypatch, text, gone
):
  error = jax.errors.JaxRuntimeError(text)
  assert not distributed.is_peer_failure(error)  # There is no other.
  monkeypatch.setattr(jax, 'process_count', lambda: 2)
  assert distributed.is_peer_failure(error) == gone


def test_one_process_agrees_with_itself():
  distributed.require_equal({'config.seed': 1})


class _Device:
  def __init__(self, process_index):
    self.process_index = process_index


def _several(monkeypatch, said, devices=(1, 1, 1)):
  """Makes this process the first of three; `said` are texts of the others."""
  there = [_Device(i) for i, n in enumerate(devices) for _ in range(n)]
  monkeypatch.setattr(jax, 'process_count', lambda: 3)
  monkeypatch.setattr(jax, 'devices', lambda: there)
  monkeypatch.setattr(distributed, 'barrier', lambda _: None)

  def gather(x):
    others = [x if text is None else _encoded(text, x) for text in said]
    return np.stack([x, *others])

  def _encoded(text, x):
    row = np.frombuffer(text.encode(), np.uint8)
    if not x.ndim:
      return np.asarray(row.size, x.dtype)
    return np.pad(row, (0, x.size - row.size))

  monkeypatch.setattr(distributed.multihost_utils, 'process_allgather', gather)


def test_a_difference_is_named_with_its_process(monkeypatch):
  _several(monkeypatch, [None, '{"a": 1, "config.seed": 2}'])
  with pytest.raises(distributed.JoinError) as caught:
    distributed.require_equal(
      {'a': 1, 'config.seed': 0, 'b': 'only here, and long'}
    )
  assert str(caught.value).endswith(
    "config: b on process 0: 'only here, and long', 2: None;"
    ' config.seed on process 0: 0, 2: 2.'
  )


def test_equal_values_agree(monkeypatch):
  _several(monkeypatch, [None, '{"b": [1, 2], "a": "ä"}'])
  distributed.require_equal({'a': 'ä', 'b': (1, 2)})


def test_unequal_numbers_of_devices_are_named(monkeypatch):
  _several(monkeypatch, [None, None], devices=(4, 4, 2))
  with pytest.raises(distributed.JoinError, match=r'process 0: 4, 2: 2\.'):
    distributed.require_equal({})
