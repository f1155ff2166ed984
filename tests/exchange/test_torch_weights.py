"""Exports that PyTorch loads."""

import json

import jax
import numpy as np
import pytest
import safetensors.torch
import small_networks
import torch_networks

from semppl_jax.backbones import resnet
from semppl_jax.exchange import (
  foreign,
  serve,
  skeleton,
  torch_forward,
  torch_weights,
)
from semppl_jax.weights import WeightsError


@pytest.fixture
def small(monkeypatch):
  small_networks.shrink(monkeypatch)
  return small_networks.settings()


def _close(have, want):
  assert have.keys() == want.keys()
  for name in want:
    assert np.std(want[name]) > 0
    error = np.abs(have[name] - want[name]).max()
    assert error <= torch_weights.TOLERANCE * np.abs(want[name]).max()


@pytest.mark.parametrize('heads', [('predictor',), ('classifier',)])
def test_what_is_written_is_read_back(tmp_path, small, heads):
  kept = serve.carried(small, heads)  # A predictor brings its projector.
  weights = small_networks.weights(small, kept, class_names=('a', 'b', 'c'))
  path = tmp_path / 'x.safetensors'
  torch_weights.check(weights, heads)
  torch_weights.write(path, weights, heads)
  images = small_networks.images()
  want = serve.on_host(weights, heads)(images)
  _close(torch_weights.read_back(path)(images), want)
  found = foreign.find(path)
  assert found.left_out == ()
  assert found.weights.heads == kept
  assert found.weights.preprocessing == small_networks.PREPROCESSING
  assert found.weights.class_names == ('a', 'b', 'c')
  jax.tree.map(
    np.testing.assert_array_equal, found.weights.params, weights.params
  )


@pytest.mark.slow
def test_torchvision_loads_it(tmp_path):
  """Strictly: nothing is missing and nothing is too much."""
  weights = small_networks.weights(skeleton.settings(backbone='resnet18'), ())
  path = tmp_path / 'x.safetensors'
  torch_weights.write(path, weights, ())
  module = torch_networks.build('resnet18')
  module.load_state_dict(safetensors.torch.load_file(path), strict=True)
  assert module.bn1.num_batches_tracked == 1000


def test_metadata_say_what_the_network_must_be(tmp_path, small, monkeypatch):
  monkeypatch.setitem(resnet.BLOCKS, 50, (1, 1, 1, 1))
  path = tmp_path / 'x.safetensors'
  small.selective_kernels = True
  small.backbone = 'resnet50'
  weights = small_networks.weights(small, ())
  torch_weights.write(path, weights, ())
  with safetensors.safe_open(path, framework='numpy') as file:
    about = json.loads(file.metadata()[torch_weights.KEY])
  assert 'ReplicationPad2d' in about['note']
  assert about['network']['selective_kernels'] is True


@pytest.mark.parametrize(
  ('fields', 'heads', 'word'),
  [
    (dict(padding='same'), (), 'SAME'),
    (dict(backbone='resnet_tiny', stem='space_to_depth'), (), 'resnet_tiny'),
    (dict(stem='space_to_depth'), (), 'space_to_depth'),
    (dict(bn_eps=1e-3), (), 'bn_eps'),
    ({}, ('projector', 'classifier'), 'export one of them'),
    (
      dict(classifier=dict(classes=3, input='projector_hidden')),
      ('classifier',),
      'export one of them',
    ),
  ],
)
def test_refuses_what_pytorch_computes_otherwise(small, fields, heads, word):
  weights = small_networks.weights(small, ())
  weights.network.update(fields)
  with pytest.raises(WeightsError, match=word) as caught:
    torch_weights.check(weights, heads)
  for name in ('onnx', 'stablehlo', 'saved_model'):
    assert name in str(caught.value)


def test_metadata_of_others_are_no_harm():
  for text in ('', '[]', '{}', '{"preprocessing": 3}', '{"preprocessing": {}}'):
    assert torch_weights.described({torch_weights.KEY: text}) is None
  assert torch_weights.described({'format': 'pt'}) is None


def test_forward_says_what_it_lacks(small):
  with pytest.raises(KeyError):
    torch_forward.TorchNetwork({}, small).linear(None, 'fc')
