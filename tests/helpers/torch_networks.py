"""The networks of PyTorch that others load: references, with features.

torchvision's and timm's own where those can build them; else written out from
the papers with the names of the public code: wider ResNets (Kolesnikov et al.,
arXiv 1901.09005; names as in torchvision and PAWS) and WideResNet-28-2 (arXiv
1605.07146; names as in facebookresearch/suncet, src/wide_resnet.py).
"""

import functools
import re

import torch
from torch import nn
from torch.nn import functional

NAMES = (
  'resnet18',
  'resnet50',
  'resnet50x2',
  'sk_resnet50',
  'wide_resnet28_2',
)


@functools.cache
def torchvision():
  """Imports torchvision; timm is to be imported after it.

  Beside a PyTorch for CPUs pip may have put a torchvision for CUDA, whose
  compiled operators do not load. ResNets have none of them, but its import
  asks for their names.
  """
  operators = torch.library.Library('torchvision', 'FRAGMENT')
  for _ in range(10):
    try:
      import torchvision.models

      return torchvision
    except RuntimeError as error:
      missing = re.search(r'torchvision::(\w+) does not exist', str(error))
      if missing is None:
        raise
      operators.define(f'{missing[1]}() -> ()')
  raise RuntimeError('torchvision cannot be imported.')


def build(name: str) -> nn.Module:
  """Makes a network in eval mode: images [n, 3, H, W] to features [n, F].

  Args:
    name: one of `NAMES`; or `resnet34`, `timm_resnet50` and so on.
  """
  if name == 'wide_resnet28_2':
    return WideResNet().eval()
  if name.startswith('sk_resnet'):
    return _selective(_blocks(name)).eval()
  if 'x' in name:
    return WidenedResNet(_blocks(name), int(name.split('x')[1])).eval()
  if name.startswith('timm_'):
    torchvision()
    import timm

    return timm.create_model(name.removeprefix('timm_'), num_classes=0).eval()
  made = getattr(torchvision().models, name)(weights=None)
  made.fc = nn.Identity()
  return made.eval()


def randomise(module: nn.Module, seed: int = 0) -> nn.Module:
  """Draws scales, offsets and averages that no layer can go without."""
  generator = torch.Generator().manual_seed(seed)

  def uniform(x: torch.Tensor, low: float, high: float) -> None:
    x.copy_(low + (high - low) * torch.rand(x.shape, generator=generator))

  with torch.no_grad():
    for each in module.modules():
      if isinstance(each, nn.modules.batchnorm._BatchNorm):
        uniform(each.weight, 0.3, 0.9)
        uniform(each.bias, -0.3, 0.3)
        uniform(each.running_mean, -0.2, 0.2)
        uniform(each.running_var, 0.4, 1.6)
      elif isinstance(each, nn.Conv2d | nn.Linear):
        bound = (3 / each.weight[0].numel()) ** 0.5
        uniform(each.weight, -bound, bound)
        if each.bias is not None:
          uniform(each.bias, -0.3, 0.3)
  return module


def _blocks(name: str) -> tuple[int, ...]:
  depth = int(re.search(r'resnet(\d+)', name)[1])
  return {
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
  }[depth]


class WidenedResNet(nn.Module):
  """A ResNet of torchvision's bottlenecks with all channels widened."""

  def __init__(self, blocks, width):
    super().__init__()
    block = torchvision().models.resnet.Bottleneck
    channels = 64 * width
    self.conv1 = nn.Conv2d(3, channels, 7, 2, 3, bias=False)
    self.bn1 = nn.BatchNorm2d(channels)
    for group, count in enumerate(blocks):
      planes = 64 * width * 2**group
      stride = 1 if group == 0 else 2
      shortcut = nn.Sequential(
        nn.Conv2d(channels, 4 * planes, 1, stride, bias=False),
        nn.BatchNorm2d(4 * planes),
      )
      layers = [block(channels, planes, stride, shortcut)]
      channels = 4 * planes
      layers += [block(channels, planes) for _ in range(1, count)]
      self.add_module(f'layer{group + 1}', nn.Sequential(*layers))

  def forward(self, x):
    x = functional.relu(self.bn1(self.conv1(x)))
    x = functional.max_pool2d(x, 3, 2, 1)
    for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
      x = layer(x)
    return x.mean(dim=(2, 3))


def _selective(blocks):
  """timm's, made SimCLRv2's: see `exchange.torch_mapping`."""
  torchvision()
  from timm.models import resnet, sknet

  made = resnet.ResNet(
    sknet.SelectiveKernelBottleneck,
    blocks,
    num_classes=0,
    stem_type='deep',
    stem_width=32,
    avg_down=True,
    block_args=dict(
      sk_kwargs=dict(kernel_size=[3, 3], split_input=False, rd_channels=32)
    ),
  )
  made.layer1[0].downsample[0] = nn.Sequential(
    nn.ReplicationPad2d((0, 1, 0, 1)), nn.AvgPool2d(2, 1)
  )
  return made


class _WideBlock(nn.Module):
  def __init__(self, inputs, outputs, stride):
    super().__init__()
    self.bn1 = nn.BatchNorm2d(inputs)
    self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
    self.bn2 = nn.BatchNorm2d(outputs)
    self.conv2 = nn.Conv2d(outputs, outputs, 3, stride, 1)
    projected = stride > 1 or inputs != outputs
    self.shortcut = nn.Sequential(
      *([nn.Conv2d(inputs, outputs, 1, stride)] if projected else [])
    )

  def forward(self, x):
    y = self.conv1(functional.relu(self.bn1(x)))
    return self.conv2(functional.relu(self.bn2(y))) + self.shortcut(x)


class WideResNet(nn.Module):
  """WideResNet-28-2."""

  def __init__(self):
    super().__init__()
    self.conv1 = nn.Conv2d(3, 16, 3, padding=1)
    channels = 16
    for group, outputs in enumerate((32, 64, 128), 1):
      blocks = []
      for i in range(4):
        stride = 2 if group > 1 and i == 0 else 1
        blocks.append(_WideBlock(channels, outputs, stride))
        channels = outputs
      self.add_module(f'layer{group}', nn.Sequential(*blocks))
    self.bn1 = nn.BatchNorm2d(channels)

  def forward(self, x):
    x = self.layer3(self.layer2(self.layer1(self.conv1(x))))
    return functional.relu(self.bn1(x)).mean(dim=(2, 3))
