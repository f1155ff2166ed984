"""Makers of masks: detectors and networks."""

import numpy as np
import pytest

from semppl_jax.saliency import contact_sheet, mask_fn, network_io
from tests.helpers.mask_networks import init, SMALL
from tests.helpers.scenes import disc


def test_a_maker_knows_its_network(network_file, tmp_path):
  maker = mask_fn.network_maker(network_file, 0.4)
  image, _ = disc()
  found = mask_fn.make_saliency_fn(maker)(image)
  np.testing.assert_array_equal(mask_fn.make_mask_fn(maker)(image), found > 0.4)
  panels = contact_sheet._panels(image, found, maker)
  np.testing.assert_array_equal(panels['network'], found)
  network_io.write(str(tmp_path / 'other'), SMALL, init(seed=1))
  moved = maker | {'network': str(tmp_path / 'other')}
  with pytest.raises(ValueError, match='has changed since the first masks'):
    mask_fn.make_mask_fn(moved)
  assert mask_fn.is_same(maker, moved)  # Wherever the file is.
  assert not mask_fn.is_same(maker, maker | {'hash': 'other'})
  assert not mask_fn.is_same(maker, mask_fn.detector_maker('mean', 0.4))
  with pytest.raises(ValueError, match='threshold=1'):
    mask_fn.network_maker(network_file, 1.0)
