"""Names, layouts and features against torchvision, timm and the papers."""

import functools

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from semppl_jax.exchange import (
  architecture,
  torch_import,
  torch_mapping,
  torch_names,
  torch_reference,
)
from semppl_jax.models.backbones import sk_resnet
from semppl_jax.models.backbones.layers import Layers
from semppl_jax.models.network import make_network
from tests.helpers import torch_networks

# Settings of the networks of `torch_networks`.
SETTINGS = {
  'resnet18': dict(backbone='resnet18'),
  'resnet34': dict(backbone='resnet34'),
  'resnet50': dict(backbone='resnet50'),
  'resnet101': dict(backbone='resnet101'),
  'resnet152': dict(backbone='resnet152'),
  'resnet50x2': dict(backbone='resnet50', width=2),
  'resnet50x4': dict(backbone='resnet50', width=4),
  'resnet200x2': dict(backbone='resnet200', width=2),
  'sk_resnet50': dict(backbone='resnet50', selective_kernels=True),
  'sk_resnet101': dict(backbone='resnet101', selective_kernels=True),
  'wide_resnet28_2': dict(backbone='wide_resnet28_2', stem='cifar'),
  'timm_resnet50': dict(backbone='resnet50'),
}


def _marked(names, quick):
  return [
    pytest.param(name, marks=() if name in quick else pytest.mark.slow)
    for name in names
  ]


@functools.cache
def _table(name):
  return torch_mapping.make_table(
    architecture.network_config(**SETTINGS[name]), ()
  )


def _state(module):
  return {name: x.numpy() for name, x in module.state_dict().items()}


@pytest.mark.parametrize(
  'name', _marked(SETTINGS, ('resnet18', 'wide_resnet28_2'))
)
def test_names_and_shapes_are_those_of_pytorch(name):
  torch_networks.torchvision()
  with torch.device('meta'):
    module = torch_networks.build(name)
  want = {
    key: tuple(value.shape)
    for key, value in module.state_dict().items()
    if not key.endswith('num_batches_tracked')
  }
  have = [
    (theirs, entry.torch_shape())
    for entry in _table(name)
    for theirs in entry.torch_names
  ]
  assert len(have) == len(dict(have))
  assert dict(have) == want


# The largest has a gigabyte; its names and shapes are tested above.
@pytest.mark.parametrize(
  'name',
  _marked(
    [name for name in SETTINGS if name != 'resnet50x4'],
    ('resnet18', 'wide_resnet28_2'),
  ),
)
def test_there_and_back(name):
  rng = np.random.default_rng(0)
  shapes = {
    theirs: entry.torch_shape()
    for entry in _table(name)
    for theirs in entry.torch_names
  }
  state = {k: rng.random(shape, np.float32) for k, shape in shapes.items()}
  params, net_state = torch_mapping.from_torch(_table(name), state)
  again = torch_mapping.to_torch(_table(name), params, net_state)
  counts = {k for k in again if k.endswith('num_batches_tracked')}
  assert again.keys() - counts == state.keys()
  assert len(counts) == sum('running_mean' in k for k in state)
  for key, value in state.items():
    np.testing.assert_array_equal(again[key], value)
  want, want_state = architecture.shapes(
    architecture.network_config(**SETTINGS[name]), ()
  )
  for have, wanted in ((params, want), (net_state, want_state)):
    assert jax.tree.map(np.shape, have) == jax.tree.map(np.shape, wanted)


@pytest.mark.parametrize(
  'name',
  _marked((*torch_networks.NAMES, 'timm_resnet50'), ('wide_resnet28_2',)),
)
@pytest.mark.parametrize('size', [64, pytest.param(97, marks=pytest.mark.slow)])
def test_features_are_those_of_pytorch(name, size):
  """An odd size too, where the rules of padding differ most."""
  module = torch_networks.randomise(torch_networks.build(name))
  weights = torch_import.import_state_dict(
    _state(module), name, 'bilinear'
  ).weights
  images = np.random.default_rng(1).normal(size=(2, size, size, 3))
  images = images.astype(np.float32)
  planes = torch.from_numpy(np.moveaxis(images, -1, 1).copy())
  with torch.inference_mode():
    want = module(planes).numpy()
    forward = torch_reference.TorchNetwork(module.state_dict(), weights.network)
    again = forward.features(planes).numpy()
  network = make_network(weights.network, heads=(), bn_groups='view')
  outputs = jax.jit(network.embed)(weights.params, weights.net_state, images)
  _assert_close(np.asarray(outputs.features[:, 0]), want)
  _assert_close(again, want)


def _assert_close(have, want):
  assert np.std(want) > 0.1  # Features of noise would agree with anything.
  assert np.abs(have - want).max() <= 1e-4 * np.abs(want).max()


# The conventions, one by one ---------------------------------------------


def _apply(layer, x, params):
  made = hk.transform(lambda x: layer()(x))
  return np.asarray(made.apply(params, None, jnp.asarray(x)))


@pytest.mark.parametrize('size', [6, 7])
@pytest.mark.parametrize(('kernel', 'stride'), [(3, 1), (3, 2), (7, 2), (1, 2)])
def test_convolution_pads_and_is_laid_out_as_pytorch(kernel, stride, size):
  torch.manual_seed(0)
  module = torch.nn.Conv2d(2, 3, kernel, stride, kernel // 2, bias=False)
  x = np.random.default_rng(0).normal(size=(1, size, size, 2))
  x = x.astype(np.float32)
  entry = torch_mapping.Entry(
    False, 'conv', 'w', ('w',), (kernel, kernel, 2, 3)
  )
  w = entry.from_torch({'w': module.weight.detach().numpy()})
  layers = Layers('torch', 0.9, 1e-5)
  have = _apply(
    lambda: layers.conv(3, kernel, stride, name='conv'), x, {'conv': {'w': w}}
  )
  want = module(torch.from_numpy(np.moveaxis(x, -1, 1).copy())).detach()
  np.testing.assert_allclose(
    have, np.moveaxis(want.numpy(), 1, -1), rtol=1e-5, atol=1e-5
  )


@pytest.mark.parametrize('size', [6, 7])
def test_max_pool_pads_as_pytorch(size):
  x = np.random.default_rng(0).normal(size=(1, size, size, 2))
  x = x.astype(np.float32)
  planes = torch.from_numpy(np.moveaxis(x, -1, 1).copy())
  want = torch.nn.functional.max_pool2d(planes, 3, 2, 1).numpy()
  have = np.asarray(Layers('torch', 0.9, 1e-5).max_pool(jnp.asarray(x)))
  np.testing.assert_array_equal(have, np.moveaxis(want, 1, -1))
  if size % 2 == 0:  # The other rule is another network.
    same = np.asarray(Layers('same', 0.9, 1e-5).max_pool(jnp.asarray(x)))
    assert np.abs(same - have).max() > 0.1


def test_linear_layers_are_transposed():
  module = torch.nn.Linear(3, 2)
  entry = torch_mapping.Entry(False, 'fc', 'w', ('w',), (3, 2))
  w = entry.from_torch({'w': module.weight.detach().numpy()})
  x = np.ones((1, 3), np.float32)
  want = module(torch.from_numpy(x)).detach() - module.bias.detach()
  np.testing.assert_allclose(x @ w, want.numpy(), rtol=1e-5)


def test_epsilon_and_momentum_are_those_of_pytorch():
  settings = architecture.network_config()
  norm = torch.nn.BatchNorm2d(1)
  assert settings.bn_eps == norm.eps
  assert settings.bn_decay == 1 - norm.momentum


def test_halves_of_selective_kernels():
  """timm's first path is the first half of our channels."""
  entry = torch_mapping.Entry(False, 'streams', 'w', ('a', 'b'), (1, 1, 2, 6))
  w = np.arange(12, dtype=np.float32).reshape(1, 1, 2, 6)
  state = entry.to_torch(w)
  assert entry.torch_shape() == state['a'].shape == (3, 2, 1, 1)
  np.testing.assert_array_equal(state['a'][:, :, 0, 0], w[0, 0, :, :3].T)
  np.testing.assert_array_equal(entry.from_torch(state), w)


@pytest.mark.parametrize(('size', 'stride'), [(6, 1), (7, 2)])
def test_selective_kernel_is_that_of_timm(size, stride):
  torch_networks.torchvision()
  from timm.layers import SelectiveKernel

  module = torch_networks.randomise(
    SelectiveKernel(
      8, 8, [3, 3], stride, split_input=False, rd_channels=32
    ).eval()
  )
  state = {f'layer1.0.conv2.{k}': v for k, v in _state(module).items()}
  outer = 'sk_res_net50/~/block_group_0/~/block_0/~/'
  layers = Layers('torch', 0.9, 1e-5)

  def forward(x):
    return sk_resnet.SelectiveKernel(layers, 8, stride, 'selective_kernel')(
      x, False, 1
    )

  made = hk.transform_with_state(forward)
  x = np.random.default_rng(0).normal(size=(2, size, size, 8))
  x = x.astype(np.float32)
  shapes = jax.eval_shape(
    hk.transform_with_state(
      lambda x: sk_resnet.SelectiveKernel(layers, 8, 1, 'selective_kernel')(
        x, True, 1
      )
    ).init,
    jax.random.key(0),
    x,
  )
  entries = torch_mapping.entries(
    *({outer + k: v for k, v in tree.items()} for tree in shapes),
    torch_names.RESNET.all_rules(
      architecture.network_config(selective_kernels=True)
    ),
  )
  trees = [
    {k.removeprefix(outer): v for k, v in tree.items()}
    for tree in torch_mapping.from_torch(entries, state)
  ]
  have = made.apply(*trees, None, jnp.asarray(x))[0]
  with torch.inference_mode():
    want = module(torch.from_numpy(np.moveaxis(x, -1, 1).copy())).numpy()
  np.testing.assert_allclose(
    np.asarray(have), np.moveaxis(want, 1, -1), rtol=1e-4, atol=1e-5
  )


def test_cifar_stem_has_the_same_names():
  network = architecture.network_config(backbone='resnet18', stem='cifar')
  (conv,) = [
    each
    for each in torch_mapping.make_table(network, ())
    if each.torch_names == ('conv1.weight',)
  ]
  assert conv.torch_shape() == (64, 3, 3, 3)


def test_heads_have_the_names_of_paws():
  network = architecture.network_config(
    backbone='wide_resnet28_2', stem='cifar'
  )
  network.projector.update(hidden=8, output=4, layers=3, last_bias=True)
  network.predictor.hidden = 5
  names = {
    name: each.torch_shape()
    for each in torch_mapping.make_table(network, ('projector', 'predictor'))
    for name in each.torch_names
    if name.startswith(('fc', 'pred'))
  }
  norms = ('weight', 'bias', 'running_mean', 'running_var')
  assert names == {
    'fc.fc1.weight': (8, 128),
    'fc.fc1.bias': (8,),
    **{f'fc.bn1.{leaf}': (8,) for leaf in norms},
    'fc.fc2.weight': (8, 8),
    'fc.fc2.bias': (8,),
    **{f'fc.bn2.{leaf}': (8,) for leaf in norms},
    'fc.fc3.weight': (4, 8),
    'fc.fc3.bias': (4,),
    'pred.fc1.weight': (5, 4),
    'pred.fc1.bias': (5,),
    **{f'pred.bn1.{leaf}': (5,) for leaf in norms},
    'pred.fc2.weight': (4, 5),
  }
