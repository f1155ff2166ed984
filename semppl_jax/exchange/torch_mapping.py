"""Mapping of parameters between this project and PyTorch, by name and layout.

One table for both directions. It follows torchvision and timm for ResNets, PAWS
(facebookresearch/suncet) for wider ones, WideResNet-28-2 and the heads on `fc`,
and timm's `skresnet` for selective kernels. Convolutions are HWIO here and OIHW
in PyTorch, linear layers are transposed, and scale, offset and averages of a
batch norm are flat in PyTorch.

timm's selective-kernel ResNet loads these names if it is built with

  timm.models.resnet.ResNet(
    timm.models.sknet.SelectiveKernelBottleneck, (3, 4, 6, 3),
    stem_type='deep', stem_width=32, avg_down=True,
    block_args=dict(sk_kwargs=dict(
      kernel_size=[3, 3], split_input=False, rd_channels=32)))

and one module is replaced: SimCLRv2 and this project average 2x2 pixels before
the first projection at stride 1 too, and timm does not.
"""

from collections.abc import Iterable, Mapping
import re
from typing import NamedTuple

from jaxtyping import PyTree
import ml_collections
import numpy as np

from semppl_jax.exchange import architecture
from semppl_jax.models.weights import Tree

SELECTIVE_NOTE = (
  'timm leaves out the average pool of a shortcut with stride 1:'
  ' set layer1[0].downsample[0] = torch.nn.Sequential('
  'torch.nn.ReplicationPad2d((0, 1, 0, 1)), torch.nn.AvgPool2d(2, 1)).'
)

# WideResNet-28-2 has one module per block, ResNets also one per group.
_GROUP = r'[^/]+/~/block_group_(\d)(?:/~/|_)block_(\d+)/~/'
_WIDE = _GROUP.replace('(?:/~/|_)', '_')
_SELECTIVE = rf'{_GROUP}selective_kernel/~/'

# A module here and its names in PyTorch. `{1}` is group 1 of the pattern (0 if
# absent), `{1+}` that number plus one. Two names are halves of the outputs.
_PLAIN_RULES = (
  (r'[^/]+/~/initial_conv', ('conv1',)),
  (r'[^/]+/~/initial_batchnorm', ('bn1',)),
  (rf'{_GROUP}conv_(\d)', ('layer{1+}.{2}.conv{3+}',)),
  (rf'{_GROUP}batchnorm_(\d)', ('layer{1+}.{2}.bn{3+}',)),
  (rf'{_WIDE}shortcut_conv', ('layer{1+}.{2}.shortcut.0',)),
  (rf'{_GROUP}shortcut_conv', ('layer{1+}.{2}.downsample.0',)),
  (rf'{_GROUP}shortcut_batchnorm', ('layer{1+}.{2}.downsample.1',)),
  (r'[^/]+/~/final_batchnorm', ('bn1',)),
  (r'classifier', ('fc',)),
  (r'projector/linear(?:_(\d))?', ('fc.fc{1+}',)),
  (r'projector/batch_norm(?:_(\d))?', ('fc.bn{1+}',)),
  (r'predictor/linear(?:_(\d))?', ('pred.fc{1+}',)),
  (r'predictor/batch_norm(?:_(\d))?', ('pred.bn{1+}',)),
  (r'prototypes', ('prototypes',)),
)
_SELECTIVE_RULES = (
  (r'[^/]+/~/initial_conv_0', ('conv1.0',)),
  (r'[^/]+/~/initial_batchnorm_0', ('conv1.1',)),
  (r'[^/]+/~/initial_conv_1', ('conv1.3',)),
  (r'[^/]+/~/initial_batchnorm_1', ('conv1.4',)),
  (r'[^/]+/~/initial_conv_2', ('conv1.6',)),
  (r'[^/]+/~/initial_batchnorm_2', ('bn1',)),
  (rf'{_GROUP}conv_(\d)', ('layer{1+}.{2}.conv{3+}.conv',)),
  (rf'{_GROUP}batchnorm_(\d)', ('layer{1+}.{2}.conv{3+}.bn',)),
  (rf'{_GROUP}shortcut_conv', ('layer{1+}.{2}.downsample.1',)),
  (rf'{_GROUP}shortcut_batchnorm', ('layer{1+}.{2}.downsample.2',)),
  (
    rf'{_SELECTIVE}streams_conv',
    ('layer{1+}.{2}.conv2.paths.0.conv', 'layer{1+}.{2}.conv2.paths.1.conv'),
  ),
  (
    rf'{_SELECTIVE}streams_batchnorm',
    ('layer{1+}.{2}.conv2.paths.0.bn', 'layer{1+}.{2}.conv2.paths.1.bn'),
  ),
  (rf'{_SELECTIVE}squeeze_conv', ('layer{1+}.{2}.conv2.attn.fc_reduce',)),
  (rf'{_SELECTIVE}squeeze_batchnorm', ('layer{1+}.{2}.conv2.attn.bn',)),
  (rf'{_SELECTIVE}expand_conv', ('layer{1+}.{2}.conv2.attn.fc_select',)),
  *_PLAIN_RULES,
)
_LEAVES = {
  'w': 'weight',
  'b': 'bias',
  'scale': 'weight',
  'offset': 'bias',
  'mean_ema': 'running_mean',
  'var_ema': 'running_var',
}
COUNTER = 'num_batches_tracked'


class Entry(NamedTuple):
  """Parameter or average, here and in PyTorch.

  Attributes:
    average: True for a batch-norm average, which is in the network's state.
    module: its module here.
    name: its name in the module; `average` for an average.
    torch_names: its names in PyTorch; two for halves of the outputs.
    shape: its shape here.
  """

  average: bool
  module: str
  name: str
  torch_names: tuple[str, ...]
  shape: tuple[int, ...]

  def torch_shape(self) -> tuple[int, ...]:
    """Returns the shape of each array in PyTorch."""
    if self.name != 'w':
      return (self.shape[-1] // len(self.torch_names),)
    *kernel, inputs, outputs = self.shape
    return (outputs // len(self.torch_names), inputs, *kernel)

  def to_torch(self, value: np.ndarray) -> dict[str, np.ndarray]:
    """Converts an array to those of PyTorch."""
    if self.name == 'w':
      transposed = np.moveaxis(value, (-1, -2), (0, 1))
    else:
      transposed = value.reshape(-1)
    parts = np.split(transposed, len(self.torch_names))
    return {
      name: np.ascontiguousarray(part)
      for name, part in zip(self.torch_names, parts, strict=True)
    }

  def from_torch(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Converts arrays of PyTorch, of `torch_shape`, to one in float32."""
    joined = np.concatenate([values[name] for name in self.torch_names])
    if self.name == 'w':
      joined = np.moveaxis(joined, (0, 1), (-1, -2))
    return np.ascontiguousarray(joined.reshape(self.shape), np.float32)


def make_table(
  network: ml_collections.ConfigDict, heads: tuple[str, ...]
) -> list[Entry]:
  """Returns the parameters and averages of a network, here and in PyTorch."""
  shapes = architecture.shapes(network, heads)
  return entries(*shapes, selective_kernels=network.selective_kernels)


def entries(
  params: PyTree,
  net_state: PyTree,
  *,
  selective_kernels: bool,
) -> list[Entry]:
  """Returns the table for the shapes of parameters and averages."""
  rules = _SELECTIVE_RULES if selective_kernels else _PLAIN_RULES
  table = [
    Entry(
      False, module, name, _torch_names(rules, module, name), tuple(leaf.shape)
    )
    for module, group in params.items()
    for name, leaf in group.items()
  ]
  for module, group in net_state.items():
    norm, kind = module.rsplit('/~/', 1)
    shape = tuple(group['average'].shape)
    names = _torch_names(rules, norm, kind)
    table.append(Entry(True, module, 'average', names, shape))
  return table


def to_torch(
  table: list[Entry], params: Tree, net_state: Tree
) -> dict[str, np.ndarray]:
  """Returns a state dict of NumPy arrays for `load_state_dict`."""
  state: dict[str, np.ndarray] = {}
  for entry in table:
    group = (net_state if entry.average else params)[entry.module]
    state |= entry.to_torch(group[entry.name])
    if entry.average and entry.module.endswith('mean_ema'):
      count = np.asarray(group['counter'], np.int64)
      state |= {
        name.replace('running_mean', COUNTER): count
        for name in entry.torch_names
      }
  return state


def from_torch(
  table: list[Entry], state: Mapping[str, np.ndarray]
) -> tuple[Tree, Tree]:
  """Returns parameters and averages of a complete state dict."""
  params: Tree = {}
  net_state: Tree = {}
  for entry in table:
    value = entry.from_torch(state)
    if entry.average:
      net_state[entry.module] = architecture.average_state(value)
    else:
      params.setdefault(entry.module, {})[entry.name] = value
  return params, net_state


def _torch_names(
  rules: Iterable[tuple[str, tuple[str, ...]]], module: str, name: str
) -> tuple[str, ...]:
  for pattern, names in rules:
    match = re.fullmatch(pattern, module)
    if match:
      return tuple(f'{_fill(each, match)}.{_LEAVES[name]}' for each in names)
  raise KeyError(f'{module} has no name in PyTorch')


def _fill(name: str, match: re.Match[str]) -> str:
  """Inserts groups into a name; `{3+}` adds one."""
  return re.sub(
    r'\{(\d)(\+?)\}',
    lambda slot: str(int(match[int(slot[1])] or 0) + bool(slot[2])),
    name,
  )
