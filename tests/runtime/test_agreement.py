"""What processes must have alike, as seen within one of them."""

import jax
import numpy as np
import pytest

from semppl_jax.runtime import agreement, distributed


def test_one_process_agrees_with_itself():
  agreement.must_agree({'config.seed': 1})


class _Device:
  def __init__(self, process_index):
    self.process_index = process_index


def _several(monkeypatch, said, devices=(1, 1, 1)):
  """Makes this process the first of three, of which the others say `said`."""
  there = [_Device(i) for i, n in enumerate(devices) for _ in range(n)]
  monkeypatch.setattr(jax, 'process_count', lambda: 3)
  monkeypatch.setattr(jax, 'devices', lambda: there)
  monkeypatch.setattr(distributed, 'meet', lambda _: None)

  def gather(x):
    others = [x if text is None else _encoded(text, x) for text in said]
    return np.stack([x, *others])

  def _encoded(text, x):
    row = np.frombuffer(text.encode(), np.uint8)
    if not x.ndim:
      return np.asarray(row.size, x.dtype)
    return np.pad(row, (0, x.size - row.size))

  monkeypatch.setattr(agreement.multihost_utils, 'process_allgather', gather)


def test_what_differs_is_named_with_its_process(monkeypatch):
  _several(monkeypatch, [None, '{"a": 1, "config.seed": 2}'])
  with pytest.raises(distributed.JoinError) as caught:
    agreement.must_agree({'a': 1, 'config.seed': 0, 'b': 'only here, and long'})
  assert str(caught.value).endswith(
    "config: b on process 0: 'only here, and long', 2: None;"
    ' config.seed on process 0: 0, 2: 2.'
  )


def test_who_says_the_same_agrees(monkeypatch):
  _several(monkeypatch, [None, '{"b": [1, 2], "a": "ä"}'])
  agreement.must_agree({'a': 'ä', 'b': (1, 2)})


def test_unequal_numbers_of_devices_are_named(monkeypatch):
  _several(monkeypatch, [None, None], devices=(4, 4, 2))
  with pytest.raises(distributed.JoinError, match=r'process 0: 4, 2: 2\.'):
    agreement.must_agree({})
