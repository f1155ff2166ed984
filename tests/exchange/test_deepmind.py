"""DeepMind's layout, in and out: see `deepmind_files` for what was not had."""

import itertools
import pickle

import deepmind_files
import haiku as hk
import jax
import numpy as np
import pytest
import small_networks

from semppl_jax import augment
from semppl_jax.exchange import (
  deepmind,
  deepmind_state,
  foreign,
  serve,
  side_file,
  skeleton,
)
from semppl_jax.network import HEADS, make_network
from semppl_jax.weights import WeightsError


@pytest.fixture(autouse=True)
def _small(monkeypatch):
  small_networks.shrink(monkeypatch)


def _weights(heads=HEADS, seed=0):
  return small_networks.weights(
    small_networks.settings(padding='same'), heads, seed
  )


def _assert_same(have, want):
  assert have.keys() == want.keys()
  jax.tree.map(
    lambda x, y: np.testing.assert_array_equal(x, y, strict=True), have, want
  )


_LAYOUTS = {
  'byol': dict(devices=0, flat=False, named_tuple=True),
  'semppl': dict(devices=1, flat=False, named_tuple=False),
  'flat': dict(devices=4, flat=True, named_tuple=False),
}
_QUICK = (('byol', 'dill'), ('semppl', 'numpy'), ('flat', 'jax'))


@pytest.mark.parametrize(
  ('layout', 'arrays'),
  [
    pytest.param(*each, marks=() if each in _QUICK else pytest.mark.slow)
    for each in itertools.product(_LAYOUTS, deepmind_files.ARRAYS)
  ],
)
def test_reads_every_layout(tmp_path, monkeypatch, layout, arrays):
  devices, flat, named_tuple = _LAYOUTS[layout].values()
  online, target = _weights(), _weights(seed=1)
  content = deepmind_files.experiment(online, target, devices)
  if flat:
    content = deepmind_files.as_flat_mappings(content)
  path = tmp_path / 'pretrain.pkl'
  path.write_bytes(
    deepmind_files.dump(monkeypatch, content, arrays, named_tuple)
  )
  for which, want in (('online', online), ('target', target)):
    found = foreign.find(path, which)
    assert found.left_out == ()
    _assert_same(found.weights.params, want.params)
    _assert_same(found.weights.net_state, want.net_state)
  network = found.weights.network
  assert network.padding == 'same' and network.backbone == 'resnet18'
  assert network.bn_eps == 1e-5 and network.bn_decay == 0.9
  assert found.weights.preprocessing.interpolation == 'bicubic'
  assert network.projector.to_dict() == dict(
    hidden=6, output=4, layers=2, last_bias=False
  )
  assert (network.predictor.hidden, network.classifier.classes) == (5, 3)


def _content():
  return deepmind_files.experiment(_weights(), _weights(), 1)


def _refusal(content):
  with pytest.raises(WeightsError) as caught:
    deepmind_state.find(content, 'x.pkl')
  assert '\n' not in str(caught.value)
  return str(caught.value)


FIRST = 'res_net18/~/initial_conv'


def test_names_what_differs():
  content = _content()
  params = content['experiment_state']['online_params']
  del params['res_net18/~/block_group_1/~/block_0/~/conv_0']['w']
  params['res_net18/~/block_group_2/~/block_0/~/conv_1']['w'] = np.zeros(
    (1, 3, 3, 8, 9)
  )
  params['res_net18/~/block_group_2/~/block_0/~/conv_1']['b'] = np.zeros((1, 9))
  message = _refusal(content)
  assert 'block_group_1/~/block_0/~/conv_0/w is missing' in message
  assert '(expected (3, 3, 64, 8))' in message
  assert 'conv_1/b is surplus (found (9,))' in message
  assert 'conv_1/w has shape (3, 3, 8, 9) (expected (3, 3, 8, 8))' in message


def test_missing_parts_are_named():
  content = _content()
  del content['experiment_state']['online_state']
  assert 'experiment_state/online_state' in _refusal(content)
  assert 'experiment_state/online_params' in _refusal([])
  assert 'other/~/conv' in _refusal(
    {
      'experiment_state': {
        'online_params': {'other/~/conv': {'w': np.zeros(2)}},
        'online_state': {},
      }
    }
  )


def test_heads_without_a_place_are_left_out():
  content = _content()
  params = content['experiment_state']['online_params']
  params['predictor/linear_1']['b'] = np.zeros((1, 4))
  params['logits'] = {'w': np.zeros((1, 16, 10))}
  found = deepmind_state.find(content, 'x.pkl')
  assert found.weights.heads == ('projector', 'classifier')
  assert 'logits' in found.left_out
  assert {x.split('/')[0] for x in found.left_out} == {'logits', 'predictor'}


def test_another_network_is_named():
  with pytest.raises(WeightsError, match='--network=ema'):
    foreign.find('x.pkl', 'ema')


# Exports ------------------------------------------------------------------


def test_there_and_back(tmp_path):
  weights = _weights()
  path = tmp_path / 'out.pkl'
  side_file.write(path, side_file.describe(weights, HEADS, 'deepmind'))
  deepmind.write(path, weights, HEADS)
  found = foreign.find(path)
  _assert_same(found.weights.params, weights.params)
  _assert_same(found.weights.net_state, weights.net_state)
  images = small_networks.images()
  want = serve.on_host(weights, HEADS)(images)
  have = deepmind.read_back(path)(images)
  assert have.keys() == want.keys() == {
    'features', 'projection', 'prediction', 'logits',
  }  # fmt: skip
  for name in want:
    scale = np.abs(want[name]).max()
    assert np.abs(have[name] - want[name]).max() <= deepmind.TOLERANCE * scale


def _released_code(path):
  """Loads as SemPPL's eval_experiment: `get_first` of the online trees."""
  content = pickle.loads(path.read_bytes())
  assert f'{content["step"]:d}' == '0'
  state = content['experiment_state']
  return [
    jax.tree.map(lambda x: np.array(x[0]), state[name])
    for name in ('online_params', 'online_state')
  ]


def test_names_nothing_that_numpy_1_lacks(tmp_path):
  path = tmp_path / 'out.pkl'
  deepmind.write(path, _weights(), ())
  assert b'_core' not in path.read_bytes()
  assert b'semppl' not in path.read_bytes()


def test_features_are_those_of_haiku(tmp_path):
  """DeepMind's networks are `hk.nets.ResNet` without its last layer."""
  weights = _weights()
  path = tmp_path / 'out.pkl'
  deepmind.write(path, weights, HEADS)
  _assert_features_of_haiku(
    path,
    weights,
    lambda: hk.nets.ResNet(
      small_networks.BLOCKS,
      16,
      bottleneck=False,
      channels_per_group=small_networks.CHANNELS,
      use_projection=(False, True, True, True),
      name='res_net18',
    ),
    16,
  )


@pytest.mark.slow
def test_features_of_a_resnet50_are_those_of_haiku(tmp_path):
  network = skeleton.settings(padding='same')
  weights = small_networks.weights(network, ())
  deepmind.check(weights, ())
  path = tmp_path / 'out.pkl'
  deepmind.write(path, weights, ())
  _assert_features_of_haiku(
    path, weights, lambda: hk.nets.ResNet50(2048, name='res_net50'), 2048
  )


def _assert_features_of_haiku(path, weights, make, features):
  params, state = _released_code(path)
  (root,) = {k.split('/')[0] for k in params if 'res_net' in k}
  params[f'{root}/~/logits'] = {
    'w': np.eye(features, dtype=np.float32),
    'b': np.zeros(features, np.float32),
  }
  x = augment.normalize(
    small_networks.images(size=48), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
  )
  theirs = hk.transform_with_state(lambda x: make()(x, is_training=False))
  # Haiku mixes dtypes and ranks, which the tests forbid elsewhere.
  with jax.numpy_dtype_promotion('standard'), jax.numpy_rank_promotion('allow'):
    want = np.asarray(jax.jit(theirs.apply)(params, state, None, x)[0])
  ours = make_network(weights.network, heads=(), bn_groups='view')
  have = jax.jit(ours.embed)(
    *({k: v for k, v in tree.items() if k.startswith('res_net')}
      for tree in (weights.params, weights.net_state)), x
  ).features[:, 0]  # fmt: skip
  assert np.std(want) > 0
  assert np.abs(np.asarray(have) - want).max() <= 1e-5 * np.abs(want).max()


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
  weights = _weights()._replace(
    network=skeleton.settings(**{'padding': 'same', **fields})
  )
  with pytest.raises(WeightsError, match=word) as caught:
    deepmind.check(weights, ())
  assert 'stablehlo' in str(caught.value)
