"""Config and shapes of the network of a foreign file."""

import numpy as np

from configs import base
from semppl_jax.config import loading
from semppl_jax.exchange import architecture


def test_settings_are_those_of_a_config():
  own, config = architecture.network_config(), base.get_config().network
  assert [*loading.to_flat_dict(own)] == [*loading.to_flat_dict(config)]
  same = {'bn_decay', 'bn_eps', 'padding', 'stem', 'width'}
  assert all(own[name] == config[name] for name in same)


def test_a_mean_of_a_file_has_no_bias_left_to_correct():
  average = np.asarray([1.0, -2.0], np.float32)
  state = architecture.average_state(average)
  assert state['counter'] == architecture.MANY_UPDATES
  # Haiku divides by 1 - decay ** counter.
  assert 1 - 0.999 ** float(state['counter']) == 1.0
  np.testing.assert_array_equal(state['average'], state['hidden'])


def test_arrays_are_copied_as_float32_and_counters_as_int32():
  source = np.ones(2, np.float64)
  tree = architecture.copy_arrays(
    {'layer': {'w': source, 'counter': np.int64(3)}}
  )
  source[:] = 5
  assert tree['layer']['w'].dtype == np.float32
  assert tree['layer']['counter'].dtype == np.int32
  np.testing.assert_array_equal(tree['layer']['w'], [1, 1])


def test_shapes_compute_nothing():
  network = architecture.network_config(backbone='resnet200', width=4)
  params, _ = architecture.shapes(network, ())
  assert params['res_net200/~/initial_conv']['w'].shape == (7, 7, 3, 256)
