"""DeepMind's layout, read: see `deepmind_files` for what they follow."""

import itertools

import numpy as np
import pytest

from semppl_jax.exchange import deepmind_import, load
from semppl_jax.models.weights import WeightsError
from tests.helpers import deepmind_files
from tests.helpers.deepmind_files import assert_same, small_weights

pytestmark = pytest.mark.usefixtures('small')


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
  online, target = (
    small_weights(),
    small_weights(seed=1),
  )
  content = deepmind_files.experiment(online, target, devices)
  if flat:
    content = deepmind_files.as_flat_mappings(content)
  path = tmp_path / 'pretrain.pkl'
  path.write_bytes(
    deepmind_files.dump(monkeypatch, content, arrays, named_tuple)
  )
  for which, want in (('online', online), ('target', target)):
    found = load.import_file(path, which)
    assert found.left_out == ()
    assert_same(found.weights.params, want.params)
    assert_same(found.weights.net_state, want.net_state)
  network = found.weights.network
  assert network.padding == 'same' and network.backbone == 'resnet18'
  assert network.bn_eps == 1e-5 and network.bn_decay == 0.9
  assert found.weights.preprocessing.interpolation == 'bicubic'
  assert network.projector.to_dict() == dict(
    hidden=6, output=4, layers=2, last_bias=False
  )
  assert (network.predictor.hidden, network.classifier.classes) == (5, 3)


def _content():
  return deepmind_files.experiment(small_weights(), small_weights(), 1)


def _refusal(content):
  with pytest.raises(WeightsError) as caught:
    deepmind_import.import_tree(content, 'x.pkl')
  assert '\n' not in str(caught.value)
  return str(caught.value)


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
  params['predictor/linear_2'] = {'w': np.zeros((1, 4, 4))}
  params['logits'] = {'w': np.zeros((1, 16, 10))}
  found = deepmind_import.import_tree(content, 'x.pkl')
  assert found.weights.heads == ('projector', 'prototypes', 'classifier')
  assert 'logits' in found.left_out
  assert {x.split('/')[0] for x in found.left_out} == {'logits', 'predictor'}


def test_another_network_is_named():
  with pytest.raises(WeightsError, match='--network=ema'):
    load.import_file('x.pkl', 'ema')
