"""State dicts of PyTorch: the architecture is found, differences are named."""

import time

import numpy as np
import pytest
import torch

from semppl_jax.exchange import (
  architecture,
  torch_identify,
  torch_import,
  torch_mapping,
  torch_names,
)
from semppl_jax.models.backbones import resnet
from semppl_jax.models.weights import Preprocessing
from tests.helpers import torch_files


@pytest.mark.parametrize('width', [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_file_of_paws(tmp_path, width):
  """WideResNet-28-2 with the heads of its ImageNet runs."""
  network = architecture.network_config(
    backbone='wide_resnet28_2', stem='cifar', width=width
  )
  network.projector.update(
    hidden=128 * width, output=128, layers=3, last_bias=True
  )
  network.predictor.update(hidden=32, last_bias=True, input_norm=True)
  state = torch_files.state(network, ('projector', 'predictor'))
  sizes = {'bn1': (128,), 'fc1': (32, 128), 'bn2': (32,), 'fc2': (128, 32)}
  assert sizes == {k: state[f'pred.{k}.weight'].shape for k in sizes}
  saved = {
    'encoder': {f'module.{k}': v for k, v in state.items()},
    'opt': {'state': {}, 'param_groups': []},
    'unlabel_prob': 0.92,
    'lr': 3.2,
  }
  found = torch_files.save_and_import(tmp_path, saved, 'paws-latest.pth.tar')
  assert found.weights.network.to_dict() == network.to_dict()
  assert found.weights.heads == ('projector', 'predictor')
  assert found.left_out == ()
  assert found.weights.preprocessing == Preprocessing(
    32, 32, 'bilinear', (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
  )


@pytest.mark.parametrize(
  'fields',
  [
    dict(backbone='resnet18', stem='cifar'),
    pytest.param(dict(backbone='resnet34'), marks=pytest.mark.slow),
    pytest.param(dict(backbone='resnet50', width=2), marks=pytest.mark.slow),
    pytest.param(
      dict(backbone='resnet50', selective_kernels=True), marks=pytest.mark.slow
    ),
    pytest.param(dict(backbone='resnet101'), marks=pytest.mark.slow),
    pytest.param(dict(backbone='resnet152'), marks=pytest.mark.slow),
    pytest.param(
      dict(backbone='resnet200', selective_kernels=True, width=2),
      marks=pytest.mark.slow,
    ),
  ],
  ids=str,
)
def test_architecture_is_found_by_names_and_shapes(fields):
  _assert_found(**fields)


@pytest.mark.parametrize('selective', [True, False])
def test_selective_kernels_and_widths_are_found(monkeypatch, selective):
  monkeypatch.setitem(resnet.BLOCKS, 50, (1, 1, 1, 1))
  _assert_found(selective_kernels=selective, width=2)


def _assert_found(**fields):
  network = architecture.network_config(**fields)
  state = {
    name: np.broadcast_to(np.float32(0), entry.torch_shape())
    for entry in torch_mapping.make_table(network, ())
    for name in entry.torch_names
  }
  found = torch_identify.network_of(state, torch_names.RESNET, 'x')
  assert found.to_dict() == network.to_dict()


def test_names_what_differs(tmp_path, small):
  state = torch_files.state(small)
  del state['layer2.0.bn2.running_var']
  state['layer3.0.conv1.weight'] = torch.ones(8, 9, 3, 3)
  state['layer3.0.conv1.bias'] = torch.ones(8)
  message = torch_files.refusal(tmp_path, {'state_dict': state})
  assert (
    'state_dict/layer2.0.bn2.running_var is missing (expected (8,))' in message
  )
  assert 'state_dict/layer3.0.conv1.bias is surplus (found (8,))' in message
  assert (
    'state_dict/layer3.0.conv1.weight has shape (8, 9, 3, 3)'
    ' (expected (8, 8, 3, 3))' in message
  )


def test_classifier_of_other_features(tmp_path, small):
  state = torch_files.state(small, ('classifier',))
  state['fc.weight'] = torch.ones(3, 17)
  message = torch_files.refusal(tmp_path, state)
  assert 'fc.weight has shape (3, 17) (expected (3, 16))' in message


def test_names_inside_and_outside_of_the_encoder_may_be_alike(tmp_path, small):
  """`conv1.weight` of the whole is another than the encoder's own."""
  state = {f'net.{k}': v for k, v in torch_files.state(small).items()}
  state |= {'conv1.weight': torch.ones(2), 'net.queue': torch.ones(3)}
  found = torch_files.save_and_import(tmp_path, state)
  assert found.left_out == ('conv1.weight', 'queue')
  assert 'res_net18/~/initial_conv' in found.weights.params


def test_many_others_take_no_time(small):
  state = {k: v.numpy() for k, v in torch_files.state(small).items()}
  state |= {f'other.{i}': np.zeros(1) for i in range(30_000)}
  start = time.process_time()
  assert (
    len(torch_import.import_state_dict(state, 'x', 'bilinear').left_out)
    == 30_000
  )
  assert time.process_time() - start < 5
