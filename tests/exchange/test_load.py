"""Files of PyTorch: what they are found to be, and what they lack."""

import pickle

import numpy as np
import pytest
import safetensors.torch
import torch

from semppl_jax.exchange import (
  deepmind_import,
  load,
)
from semppl_jax.models.weights import Preprocessing, WeightsError
from tests.helpers import torch_files

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize('wrapper', ['', 'state_dict', 'model', 'encoder'])
@pytest.mark.parametrize('prefix', ['', 'module.', 'module.backbone.'])
def test_wrappers_and_prefixes(tmp_path, small, wrapper, prefix):
  state = torch_files.state(small, ('classifier',))
  state = {prefix + name: value for name, value in state.items()}
  state[f'{prefix}bn1.num_batches_tracked'] = torch.tensor(5)
  value = {wrapper: state, 'epoch': 3} if wrapper else state
  found = torch_files.save_and_import(tmp_path, value)
  weights = found.weights
  assert found.left_out == ()
  assert weights.heads == ('classifier',)
  assert weights.network.classifier.classes == 3
  assert weights.network.padding == 'torch'
  assert weights.network.precision == 'float32'
  assert weights.preprocessing == Preprocessing(256, 224, 'bilinear', *IMAGENET)
  np.testing.assert_array_equal(
    weights.params['res_net18/~/initial_conv']['w'],
    state[f'{prefix}conv1.weight'].numpy().transpose(2, 3, 1, 0),
  )
  averages = weights.net_state['res_net18/~/initial_batchnorm/~/mean_ema']
  np.testing.assert_array_equal(averages['average'], averages['hidden'])
  assert averages['counter'].dtype == np.int32 and averages['counter'] == 10**6


def test_timm_is_bicubic(tmp_path, small):
  path = tmp_path / 'x.safetensors'
  safetensors.torch.save_file(torch_files.state(small), path, {'format': 'pt'})
  weights = load.import_file(path).weights
  assert weights.preprocessing == Preprocessing(256, 224, 'bicubic', *IMAGENET)


@pytest.mark.parametrize(
  ('value', 'word'),
  [
    ({'a': torch.ones(2)}, '0 networks'),
    ([1, 2], '0 networks'),
    ({'features.0.weight': torch.ones(2)}, 'features.0.weight'),
  ],
)
def test_other_networks(tmp_path, value, word):
  assert word in torch_files.refusal(tmp_path, value)


def test_two_networks_in_one(tmp_path, small):
  state = torch_files.state(small)
  both = {f'{root}.{k}': v for root in ('q', 'k') for k, v in state.items()}
  assert '2 networks' in torch_files.refusal(tmp_path, both)


def test_other_depths(tmp_path, small):
  state = torch_files.state(small)
  state['layer4.1.conv1.weight'] = torch.ones(1)
  assert '(1, 1, 1, 2) residual blocks' in torch_files.refusal(tmp_path, state)


def test_a_pickled_state_dict_of_arrays(tmp_path, small):
  path = tmp_path / 'x.pkl'
  path.write_bytes(
    pickle.dumps({k: v.numpy() for k, v in torch_files.state(small).items()})
  )
  assert load.import_file(path).weights.network.backbone == 'resnet18'


@pytest.mark.parametrize(
  ('content', 'word'),
  [
    (b'', 'not a PyTorch file'),
    (b'GIF89a', 'not a PyTorch file'),
    (b'a' * 257 + b'ustar' + b'a' * 300, 'tar archive'),
    (b'\x80', 'damaged'),
    (b'PK\x03\x04rest', 'damaged'),
    (b'\x1f\x8b\x08', 'not a PyTorch file'),
  ],
)
def test_other_files(tmp_path, content, word):
  path = tmp_path / 'x.pth'
  path.write_bytes(content)
  with pytest.raises(WeightsError, match=word) as caught:
    load.import_file(path)
  assert str(path) in str(caught.value) and '\n' not in str(caught.value)


def test_no_file(tmp_path):
  with pytest.raises(WeightsError, match='cannot be read'):
    load.import_file(tmp_path / 'x.pth')


@pytest.mark.parametrize(
  ('value', 'word'),
  [
    (5, 'of type int'),
    (np.ones(3), 'of type ndarray'),
    ([np.ones(3)], 'of type list'),
    ('text', 'of type str'),
    ({}, 'is empty'),
    ({'a': np.ones(3), 7: 1}, 'it has a'),
  ],
  ids=str,
)
def test_what_is_no_state_dict(tmp_path, value, word):
  path = tmp_path / 'x.pkl'
  path.write_bytes(pickle.dumps(value))
  with pytest.raises(WeightsError, match='0 networks') as caught:
    load.import_file(path)
  assert word in str(caught.value)


def test_a_tensor_alone(tmp_path):
  assert 'of type ndarray' in torch_files.refusal(tmp_path, torch.ones(3))


def test_lists_without_end_are_not_printed(tmp_path):
  """Each list has the one before ten times."""
  path = tmp_path / 'x.pkl'
  program = b'\x80\x02]q\x00'
  for level in range(1, 30):
    program += b'](' + bytes([ord('h'), level - 1]) * 10 + b'e'
    program += b'q' + bytes([level])
  path.write_bytes(program + b'.')
  with pytest.raises(WeightsError, match='of type list'):
    load.import_file(path)


def test_a_target_network_is_of_deepmind(tmp_path, small):
  state = torch_files.state(small)
  arrays = {k: v.numpy() for k, v in state.items()}
  torch.save(state, tmp_path / 'x.pth')
  safetensors.torch.save_file(state, tmp_path / 'x.safetensors')
  (tmp_path / 'x.pkl').write_bytes(pickle.dumps(arrays))
  for name, kind in (
    ('x.pth', 'PyTorch'),
    ('x.safetensors', 'safetensors'),
    ('x.pkl', 'pickled state dict'),
  ):
    with pytest.raises(WeightsError, match=f'--network=target .* {kind}'):
      load.import_file(tmp_path / name, 'target')


def test_a_missing_kernel_of_deepmind_is_named():
  tree = {
    'experiment_state': {
      'online_params': {'res_net50/~/initial_conv': {'b': np.ones(3)}},
      'online_state': {},
    }
  }
  with pytest.raises(WeightsError) as caught:
    deepmind_import.import_tree(tree, 'x')
  assert 'differs' in str(caught.value)
  with pytest.raises(WeightsError, match='0 networks'):
    deepmind_import.import_tree(
      {
        'experiment_state': {
          'online_params': {f'res_net{"9" * 5000}/~/x': {}},
          'online_state': {},
        }
      },
      'x',
    )
