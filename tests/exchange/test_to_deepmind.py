"""DeepMind's layout, in and out: see `deepmind_files` for what they follow."""

import numpy as np
import pytest

from semppl_jax.exchange import (
  architecture,
  inference,
  load,
  metadata,
  to_deepmind,
)
from semppl_jax.models.network import HEADS
from semppl_jax.models.weights import WeightsError
from tests.helpers import haiku_networks, random_weights
from tests.helpers.deepmind_files import assert_same, small_weights

pytestmark = pytest.mark.usefixtures('small')


def test_there_and_back(tmp_path):
  weights = small_weights()
  path = tmp_path / 'out.pkl'
  metadata.write(path, metadata.describe(weights, HEADS, 'deepmind'))
  to_deepmind.write(path, weights, HEADS)
  found = load.import_file(path)
  assert_same(found.weights.params, weights.params)
  assert_same(found.weights.net_state, weights.net_state)
  images = random_weights.images(weights, 3)
  want = inference.make_host_fn(weights, HEADS)(images)
  have = to_deepmind.read_back(path)(images)
  assert have.keys() == want.keys() == {
    'features', 'projection', 'prediction', 'scores', 'logits',
  }  # fmt: skip
  for name in want:
    scale = np.abs(want[name]).max()
    assert (
      np.abs(have[name] - want[name]).max() <= to_deepmind.TOLERANCE * scale
    )


def test_names_nothing_that_numpy_1_lacks(tmp_path):
  path = tmp_path / 'out.pkl'
  to_deepmind.write(path, small_weights(), ())
  assert b'_core' not in path.read_bytes()
  assert b'semppl' not in path.read_bytes()


def test_features_are_those_of_haiku(tmp_path):
  plan = dict(
    blocks_per_group=random_weights.BLOCKS,
    bottleneck=False,
    channels_per_group=random_weights.CHANNELS,
    use_projection=(False, True, True, True),
  )
  _assert_features_of_haiku(tmp_path / 'out.pkl', small_weights(), HEADS, plan)


@pytest.mark.slow
@pytest.mark.parametrize('width', [1, 2])
def test_features_of_a_resnet50_are_those_of_haiku(tmp_path, width):
  network = architecture.network_config(padding='same', width=width)
  weights = random_weights.draw(network)
  to_deepmind.check(weights, ())
  _assert_features_of_haiku(
    tmp_path / 'out.pkl', weights, (), haiku_networks.resnet(50, width)
  )


def _assert_features_of_haiku(path, weights, heads, plan):
  to_deepmind.write(path, weights, heads)
  images = random_weights.pixels(3, 48)
  want = haiku_networks.run(path, plan, weights.preprocessing)(images)
  have = inference.make_host_fn(weights)(images)
  assert np.std(want['features']) > 0
  random_weights.assert_exact(have, want)


@pytest.mark.parametrize(
  ('fields', 'word'),
  [
    (dict(padding='torch'), 'SAME'),
    (dict(backbone='resnet18'), 'resnet18'),
    (dict(selective_kernels=True), 'selective'),
    (dict(stem='cifar'), 'stem'),
    (dict(bn_eps=1e-3), 'bn_eps'),
  ],
)
def test_refuses_what_the_released_code_has_not(fields, word):
  weights = small_weights()._replace(
    network=architecture.network_config(**{'padding': 'same', **fields})
  )
  with pytest.raises(WeightsError, match=word) as caught:
    to_deepmind.check(weights, ())
  assert 'stablehlo' in str(caught.value)
