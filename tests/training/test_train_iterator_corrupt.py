import numpy as np
import pytest

from semppl_jax.data.dataset import Dataset
from semppl_jax.training.train_iterator import CorruptCount


def _train(size):
  ids = np.array([f'image {n}' for n in range(size)])
  return Dataset('set', ids, np.zeros(size, np.int32), ('a',), None)


def test_too_many_unreadable_images_stop_an_epoch(caplog):
  count = CorruptCount(_train(42), 0.05)
  with caplog.at_level('WARNING'):
    count.add(np.array([3]))
    count.add(np.array([3, 4]))
  assert count.count == 2
  assert caplog.text.count('image 3') == 1
  with pytest.raises(ValueError, match=r'3 unreadable .* \(7.14% of 42\)'):
    count.add(np.array([5]))
  count.start_epoch()
  count.add(np.array([3, 4]))
  with pytest.raises(ValueError, match=r'2 unreadable .* here and 9 in all'):
    count.check(9)


def test_exactly_the_limit_is_allowed():
  CorruptCount(_train(20), 0.05).add(np.array([1]))
  with pytest.raises(ValueError, match='unreadable'):
    CorruptCount(_train(20), 0.0).add(np.array([1]))
