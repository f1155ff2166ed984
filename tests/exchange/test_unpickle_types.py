"""Arrays and named tuples of a pickle: sizes and repetitions are bounded."""

import pickle

import numpy as np
import pytest

from tests.helpers import hostile


def test_array_that_claims_ten_gigabytes():
  program = pickle.dumps(
    hostile.Calls(np.ndarray, (10 * 2**30,), 'u1', b'ab'), protocol=4
  )
  message, peak = hostile.peak(lambda: hostile.refusal(program))
  assert 'claims 10737418240 bytes where 2 are there' in message
  assert peak < 2**21


@pytest.mark.parametrize('shape', [(-1, -2), (2.0,), ('2',), (2**70, 0)])
def test_array_of_no_shape(shape):
  hostile.refusal(
    pickle.dumps(hostile.Calls(np.ndarray, shape, 'u1', b'ab'), protocol=4)
  )


def test_named_tuples_over_and_over():
  fields = b'(' + b''.join(b'U\x02%02d' % i for i in range(100)) + b't'
  program = b'\x80\x02cdill._dill\n_create_namedtuple\nU\x01a' + fields
  program += b'U\x01b\x87Rq\x00(' + b'N' * 100 + b'tq\x01'
  program += b'h\x00h\x01R' * 20_000 + b'.'
  message, peak = hostile.peak(lambda: hostile.refusal(program))
  assert 'repeats calls' in message
  assert peak < 2**22
