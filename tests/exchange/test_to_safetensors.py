"""Exports that PyTorch loads."""

import json

import jax
import numpy as np
import pytest
import safetensors.torch

from semppl_jax.exchange import (
  architecture,
  inference,
  load,
  to_safetensors,
)
from semppl_jax.models.backbones import resnet
from semppl_jax.models.weights import WeightsError
from tests.helpers import random_weights, torch_networks


def _close(have, want):
  assert have.keys() == want.keys()
  for name in want:
    assert np.std(want[name]) > 0
    error = np.abs(have[name] - want[name]).max()
    assert error <= to_safetensors.TOLERANCE * np.abs(want[name]).max()


@pytest.mark.parametrize('heads', [('predictor',), ('classifier',)])
def test_what_is_written_is_read_back(tmp_path, small, heads):
  kept = inference.required_heads(
    small, heads
  )  # A predictor brings its projector.
  weights = random_weights.draw(small, kept, class_names=('a', 'b', 'c'))
  path = tmp_path / 'x.safetensors'
  to_safetensors.check(weights, heads)
  to_safetensors.write(path, weights, heads)
  images = random_weights.images(weights, 3)
  want = inference.make_host_fn(weights, heads)(images)
  _close(to_safetensors.read_back(path)(images), want)
  found = load.import_file(path)
  assert found.left_out == ()
  assert found.weights.heads == kept
  assert found.weights.preprocessing == random_weights.PREPROCESSING
  assert found.weights.class_names == ('a', 'b', 'c')
  jax.tree.map(
    np.testing.assert_array_equal, found.weights.params, weights.params
  )


@pytest.mark.slow
def test_torchvision_loads_it(tmp_path):
  """Strictly: nothing is missing and nothing is too much."""
  weights = random_weights.draw(
    architecture.network_config(backbone='resnet18'), ()
  )
  path = tmp_path / 'x.safetensors'
  to_safetensors.write(path, weights, ())
  module = torch_networks.build('resnet18')
  module.load_state_dict(safetensors.torch.load_file(path), strict=True)
  assert module.bn1.num_batches_tracked == architecture.MANY_UPDATES


def test_metadata_say_what_the_network_must_be(tmp_path, small, monkeypatch):
  monkeypatch.setitem(resnet.BLOCKS, 50, (1, 1, 1, 1))
  path = tmp_path / 'x.safetensors'
  small.selective_kernels = True
  small.backbone = 'resnet50'
  weights = random_weights.draw(small, ())
  to_safetensors.write(path, weights, ())
  with safetensors.safe_open(path, framework='numpy') as file:
    about = json.loads(file.metadata()[to_safetensors.KEY])
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
  weights = random_weights.draw(small, ())
  weights.network.update(fields)
  with pytest.raises(WeightsError, match=word) as caught:
    to_safetensors.check(weights, heads)
  for name in ('onnx', 'stablehlo', 'saved_model'):
    assert name in str(caught.value)


def test_metadata_of_others_are_no_harm():
  for text in ('', '[]', '{}', '{"preprocessing": 3}', '{"preprocessing": {}}'):
    assert to_safetensors.read_description({to_safetensors.KEY: text}) is None
  assert to_safetensors.read_description({'format': 'pt'}) is None


def _metadata(**changes):
  about = {
    'class_names': ['a', 'b'],
    'preprocessing': {
      'resize': 256,
      'crop': 224,
      'interpolation': 'bicubic',
      'mean': [0.5, 0.5, 0.5],
      'std': [0.2, 0.2, 0.2],
    }
    | changes,
  }
  return {to_safetensors.KEY: json.dumps(about)}


@pytest.mark.parametrize(
  'changes',
  [
    {'mean': [0.5]},
    {'mean': [0.5, 0.5, '0.5']},
    {'mean': [0.5, 0.5, float('nan')]},
    {'std': [0.2, 0.2]},
    {'std': [0.2, 0.0, 0.2]},
    {'std': [0.2, -0.2, 0.2]},
    {'interpolation': 'nearest'},
    {'interpolation': ['bicubic']},
    {'resize': 0},
    {'resize': 2.5},
    {'crop': 300},
  ],
  ids=str,
)
def test_metadata_that_cannot_be_are_not_taken(changes):
  assert to_safetensors.read_description(_metadata()) is not None
  assert to_safetensors.read_description(_metadata(**changes)) is None


def test_metadata_without_end():
  text = '[' * 100_000
  assert to_safetensors.read_description({to_safetensors.KEY: text}) is None


def test_class_names_of_another_count(tmp_path, small):
  weights = random_weights.draw(small, ('classifier',), class_names=('a', 'b'))
  path = tmp_path / 'x.safetensors'
  to_safetensors.write(path, weights, ('classifier',))
  with pytest.raises(WeightsError, match='2 class names for a classifier of 3'):
    load.import_file(path)
