"""Architectures from names and shapes."""

import numpy as np
import pytest

from semppl_jax.exchange import (
  architecture,
  torch_identify,
  torch_mapping,
  torch_names,
)
from semppl_jax.models.backbones import efficientnet_lite


@pytest.mark.parametrize(
  'naming', [torch_names.TIMM_LITE, torch_names.PYTORCH_LITE]
)
@pytest.mark.parametrize(
  'size', [0, 2, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 3, 4))]
)
def test_sizes_of_efficientnet_lite_are_told_apart(size, naming):
  network = architecture.network_config(
    backbone=f'efficientnet_lite{size}',
    padding='same',
    bn_eps=1e-3,
    bn_decay=0.99,
  )
  state = {
    name: np.broadcast_to(np.float32(0), entry.torch_shape())
    for entry in torch_mapping.make_table(network, (), naming)
    for name in entry.torch_names
  }
  found = torch_identify.network_of(state, naming, 'x')
  assert found.to_dict() == network.to_dict()


def test_each_architecture_has_its_usual_preprocessing():
  usual = lambda **fields: torch_identify.preprocessing(
    architecture.network_config(**fields), 'bilinear'
  )
  assert usual()[:3] == (256, 224, 'bilinear')
  assert usual(backbone='resnet18', stem='cifar')[:2] == (32, 32)
  for size, (_, _, pixels) in efficientnet_lite.SIZES.items():
    found = usual(backbone=f'efficientnet_lite{size}')
    assert found.crop == pixels < found.resize
    assert found.mean == (0.5, 0.5, 0.5)
