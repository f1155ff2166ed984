"""Reference networks in PyTorch, to verify an exported state dict.

The networks of torchvision, timm, PAWS and SimCLRv2, by names of parameters and
functions of PyTorch, so that those libraries need not be installed. PyTorch is
imported when used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import ml_collections

from semppl_jax.exchange import torch_names
from semppl_jax.models.backbones import efficientnet_lite

if TYPE_CHECKING:
  from torch import Tensor


class TorchNetwork:
  """Network of PyTorch's functions, in eval mode."""

  def __init__(
    self, state: Mapping[str, Tensor], network: ml_collections.ConfigDict
  ):
    """Takes a state dict of tensors and `config.network`."""
    import torch

    self.ops = torch.nn.functional
    self.state, self.network = state, network

  def features(self, images: Tensor) -> Tensor:
    """Maps normalized images [n, 3, H, W] to features [n, F]."""
    if self.network.backbone.startswith('wide_resnet'):
      x = self._wide(images)
    elif self.network.backbone.startswith('efficientnet_lite'):
      x = self._efficientnet_lite(images)
    else:
      x = self._stem(images)
      for name, stride in self._blocks():
        x = self._block(x, name, stride)
    return x.mean(dim=(2, 3))

  def head(self, x: Tensor, name: str) -> Tensor:
    """Maps [n, F] through the perceptron `name`, as PAWS names it."""
    layers, norms = (
      sum(f'{name}.{kind}{i}.weight' in self.state for i in range(1, 10))
      for kind in ('fc', 'bn')
    )
    # If there are as many norms as layers, the first one is the first layer.
    ahead = norms - layers + 1
    if ahead:
      x = self._norm(x, f'{name}.bn1')
    for i in range(1, layers):
      x = self.linear(x, f'{name}.fc{i}')
      x = self.ops.relu(self._norm(x, f'{name}.bn{i + ahead}'))
    return self.linear(x, f'{name}.fc{layers}')

  def scores(self, projection: Tensor) -> Tensor:
    """Cosines of projections [n, D] to the prototypes."""
    return self.linear(self.ops.normalize(projection, dim=-1), 'prototypes')

  def linear(self, x: Tensor, name: str) -> Tensor:
    """Maps [n, F] through the linear layer `name`."""
    return self.ops.linear(
      x, self.state[f'{name}.weight'], self.state.get(f'{name}.bias')
    )

  def logits(self, features: Tensor) -> Tensor:
    """Maps features [n, F] to logits [n, C]."""
    naming = torch_names.of_network(self.network)
    assert naming is not None
    return self.linear(features, naming.classifier)

  def _conv(self, x: Tensor, name: str, stride: int = 1) -> Tensor:
    kernel = self.state[f'{name}.weight']
    bias = self.state.get(f'{name}.bias')
    return self.ops.conv2d(x, kernel, bias, stride, kernel.shape[-1] // 2)

  def _norm(self, x: Tensor, name: str) -> Tensor:
    leaves = ('running_mean', 'running_var', 'weight', 'bias')
    mean, var, weight, bias = (self.state[f'{name}.{leaf}'] for leaf in leaves)
    eps = self.network.bn_eps
    return self.ops.batch_norm(x, mean, var, weight, bias, eps=eps)

  def _conv_norm(
    self, x: Tensor, conv: str, norm: str, stride: int = 1
  ) -> Tensor:
    return self._norm(self._conv(x, conv, stride), norm)

  def _stem(self, x: Tensor) -> Tensor:
    relu, full = self.ops.relu, self.network.stem == 'imagenet'
    if 'conv1.0.weight' in self.state:
      x = relu(self._conv_norm(x, 'conv1.0', 'conv1.1', 2))
      x = relu(self._conv_norm(x, 'conv1.3', 'conv1.4'))
      x = relu(self._conv_norm(x, 'conv1.6', 'bn1'))
    else:
      x = relu(self._conv_norm(x, 'conv1', 'bn1', 2 if full else 1))
    return self.ops.max_pool2d(x, 3, 2, 1) if full else x

  def _blocks(self) -> list[tuple[str, int]]:
    """Returns names and strides of the blocks, in order."""
    indices = {
      tuple(map(int, name[len('layer') :].split('.')[:2]))
      for name in self.state
      if name.startswith('layer')
    }
    return [
      (f'layer{group}.{i}', 2 if group > 1 and i == 0 else 1)
      for group, i in sorted(indices)
    ]

  def _block(self, x: Tensor, name: str, stride: int) -> Tensor:
    relu = self.ops.relu
    if self.network.selective_kernels:
      y = relu(self._conv_norm(x, f'{name}.conv1.conv', f'{name}.conv1.bn'))
      y = self._selective(y, f'{name}.conv2', stride)
      y = self._conv_norm(y, f'{name}.conv3.conv', f'{name}.conv3.bn')
      return relu(y + self._pooled_shortcut(x, f'{name}.downsample', stride))
    layers = 3 if f'{name}.conv3.weight' in self.state else 2
    # The stride is on the 3x3 convolution.
    strides = (1, stride, 1) if layers == 3 else (stride, 1)
    y = x
    for i, step in enumerate(strides, 1):
      y = self._conv_norm(y, f'{name}.conv{i}', f'{name}.bn{i}', step)
      y = relu(y) if i < layers else y
    shortcut = f'{name}.downsample'
    if f'{shortcut}.0.weight' in self.state:
      x = self._conv_norm(x, f'{shortcut}.0', f'{shortcut}.1', stride)
    return relu(y + x)

  def _selective(self, x: Tensor, name: str, stride: int) -> Tensor:
    first, second = (
      self.ops.relu(
        self._conv_norm(
          x, f'{name}.paths.{i}.conv', f'{name}.paths.{i}.bn', stride
        )
      )
      for i in range(2)
    )
    pooled = (first + second).mean(dim=(2, 3), keepdim=True)
    hidden = self._conv_norm(
      pooled, f'{name}.attn.fc_reduce', f'{name}.attn.bn'
    )
    scores = self._conv(self.ops.relu(hidden), f'{name}.attn.fc_select')
    weights = self.ops.softmax(scores.unflatten(1, (2, first.shape[1])), dim=1)
    return first * weights[:, 0] + second * weights[:, 1]

  def _pooled_shortcut(self, x: Tensor, name: str, stride: int) -> Tensor:
    if f'{name}.1.weight' not in self.state:
      return x
    if stride == 1:
      # The last pixel twice, so that averages do not include padding.
      x = self.ops.avg_pool2d(self.ops.pad(x, (0, 1, 0, 1), 'replicate'), 2, 1)
    else:
      x = self.ops.avg_pool2d(x, 2, 2, ceil_mode=True, count_include_pad=False)
    return self._conv_norm(x, f'{name}.1', f'{name}.2')

  def _wide(self, x: Tensor) -> Tensor:
    relu = self.ops.relu
    x = self._conv(x, 'conv1')
    for name, stride in self._blocks():
      y = self._conv(relu(self._norm(x, f'{name}.bn1')), f'{name}.conv1')
      y = self._conv(
        relu(self._norm(y, f'{name}.bn2')), f'{name}.conv2', stride
      )
      if f'{name}.shortcut.0.weight' in self.state:
        x = self._conv(x, f'{name}.shortcut.0', stride)
      x = y + x
    return relu(self._norm(x, 'bn1'))

  def _efficientnet_lite(self, x: Tensor) -> Tensor:
    """Maps images to maps, under the names of timm."""
    x = self._same_norm(x, 'conv_stem', 'bn1', 2)
    size = torch_names.lite_size(self.network)
    for i, stage in enumerate(efficientnet_lite.stages(size)):
      for j in range(stage.blocks):
        name, stride = f'blocks.{i}.{j}', stage.stride if j == 0 else 1
        layers = [('conv_pw', 1), ('conv_dw', stride), ('conv_pwl', 1)]
        if stage.expansion == 1:
          layers = [('conv_dw', stride), ('conv_pw', 1)]
        y = x
        for k, (conv, step) in enumerate(layers, 1):
          y = self._same_norm(
            y, f'{name}.{conv}', f'{name}.bn{k}', step, last=k == len(layers)
          )
        x = x + y if x.shape == y.shape else y
    return self._same_norm(x, 'conv_head', 'bn2')

  def _same_norm(
    self, x: Tensor, conv: str, norm: str, stride: int = 1, last: bool = False
  ) -> Tensor:
    """Convolution padded as TensorFlow does, norm, and ReLU6 if not `last`."""
    kernel = self.state[f'{conv}.weight']
    side = kernel.shape[-1]
    missing = [
      max((-(-size // stride) - 1) * stride + side - size, 0)
      for size in (x.shape[3], x.shape[2])
    ]
    x = self.ops.pad(x, [n for m in missing for n in (m // 2, m - m // 2)])
    groups = x.shape[1] // kernel.shape[1]
    x = self._norm(
      self.ops.conv2d(x, kernel, None, stride, groups=groups), norm
    )
    return x if last else self.ops.relu6(x)
