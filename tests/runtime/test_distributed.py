"""How processes join: what can be seen within one of them."""

import socket
import threading
import time

import jax
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


def test_who_waits_too_long_gives_up(monkeypatch):
  said, gone = [], threading.Event()

  def give_up(sentence):
    said.append(sentence)
    gone.set()

  monkeypatch.setattr(
    jax.distributed, 'initialize', lambda *_, **__: gone.wait(10)
  )
  distributed.join('127.0.0.1:1', 3, 0, 1, give_up)
  assert gone.is_set() and 'Not all 3 processes' in said[0]


def test_who_is_in_time_does_not(monkeypatch):
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
  assert not distributed.lost(error)  # There is no other.
  monkeypatch.setattr(jax, 'process_count', lambda: 2)
  assert distributed.lost(error) == gone
