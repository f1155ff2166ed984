import numpy as np
import pytest

from semppl_jax.data import batch as batch_lib
from semppl_jax.data.batch import Batch, Support


@pytest.mark.parametrize('support', [None, Support(*np.arange(4))])
@pytest.mark.parametrize('mask', [None, np.ones(2)])
def test_a_batch_comes_back_from_its_arrays(support, mask):
  batch = Batch(*np.arange(5), mask, support)
  arrays = batch_lib.to_arrays(batch)
  assert ('mask' in arrays) == (mask is not None)
  assert ('support_label' in arrays) == (support is not None)
  assert batch_lib.from_arrays(arrays) == batch
