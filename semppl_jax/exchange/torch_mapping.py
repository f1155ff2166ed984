"""Parameters of this project and of PyTorch's networks, name by name.

One table, read in both directions. It follows torchvision and timm for
ResNets, PAWS (facebookresearch/suncet) for wider ones, WideResNet-28-2 and the
heads on `fc`, and timm's `skresnet` for selective kernels. What is turned over
on the way: convolutions are HWIO here and OIHW there, linear layers are
transposed, and a batch norm's scale, offset and averages are flat there.

timm's selective-kernel ResNet loads these names if it is built with

  timm.models.resnet.ResNet(
    timm.models.sknet.SelectiveKernelBottleneck, (3, 4, 6, 3),
    stem_type='deep', stem_width=32, avg_down=True,
    block_args=dict(sk_kwargs=dict(
      kernel_size=[3, 3], split_input=False, rd_channels=32)))

and one thing is replaced: SimCLRv2, and this project with it, averages 2x2
pixels before the first projection at a stride of one too, where timm has none.
"""

from collections.abc import Mapping
import re
from typing import Any, NamedTuple

import ml_collections
import numpy as np

from semppl_jax.exchange import architecture
from semppl_jax.models.weights import Tree

SELECTIVE_NOTE = (
  'timm leaves out the average pool of a shortcut with stride 1:'
  ' set layer1[0].downsample[0] = torch.nn.Sequential('
  'torch.nn.ReplicationPad2d((0, 1, 0, 1)), torch.nn.AvgPool2d(2, 1)).'
)

_GROUP = r'[^/]+/~/block_group_(\d)/~/block_(\d+)/~/'
_WIDE = r'[^/]+/~/block_group_(\d)_block_(\d+)/~/'
_SELECTIVE = rf'{_GROUP}selective_kernel/~/'

# A module here, and its names there; `{1}` is the first group, `{1+}` counts it
# from one. Two names are the halves of a module's outputs.
_PLAIN_RULES = (
  (r'[^/]+/~/initial_conv', ('conv1',)),
  (r'[^/]+/~/initial_batchnorm', ('bn1',)),
  (rf'{_GROUP}conv_(\d)', ('layer{1+}.{2}.conv{3+}',)),
  (rf'{_GROUP}batchnorm_(\d)', ('layer{1+}.{2}.bn{3+}',)),
  (rf'{_GROUP}shortcut_conv', ('layer{1+}.{2}.downsample.0',)),
  (rf'{_GROUP}shortcut_batchnorm', ('layer{1+}.{2}.downsample.1',)),
  (rf'{_WIDE}conv_(\d)', ('layer{1+}.{2}.conv{3+}',)),
  (rf'{_WIDE}batchnorm_(\d)', ('layer{1+}.{2}.bn{3+}',)),
  (rf'{_WIDE}shortcut_conv', ('layer{1+}.{2}.shortcut.0',)),
  (r'[^/]+/~/final_batchnorm', ('bn1',)),
  (r'classifier', ('fc',)),
  (r'projector/linear', ('fc.fc1',)),
  (r'projector/linear_(\d)', ('fc.fc{1+}',)),
  (r'projector/batch_norm', ('fc.bn1',)),
  (r'projector/batch_norm_(\d)', ('fc.bn{1+}',)),
  (r'predictor/linear', ('pred.fc1',)),
  (r'predictor/linear_(\d)', ('pred.fc{1+}',)),
  (r'predictor/batch_norm', ('pred.bn1',)),
  (r'predictor/batch_norm_(\d)', ('pred.bn{1+}',)),
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
  """A parameter here and there.

  Attributes:
    average: whether it is a batch-norm average, kept in the network's state.
    module: its module here.
    name: its name there; of an average, `average`.
    theirs: its names in PyTorch; two where it is the halves of ours.
    shape: its shape here.
  """

  average: bool
  module: str
  name: str
  theirs: tuple[str, ...]
  shape: tuple[int, ...]

  def torch_shape(self) -> tuple[int, ...]:
    """The shape of each of theirs."""
    if self.name != 'w':
      return (self.shape[-1] // len(self.theirs),)
    *kernel, inputs, outputs = self.shape
    return (outputs // len(self.theirs), inputs, *kernel)

  def to_torch(self, value: np.ndarray) -> dict[str, np.ndarray]:
    """Turns our array into theirs."""
    if self.name == 'w':
      turned = np.moveaxis(value, (-1, -2), (0, 1))
    else:
      turned = value.reshape(-1)
    parts = np.split(turned, len(self.theirs))
    return {
      name: np.ascontiguousarray(part)
      for name, part in zip(self.theirs, parts, strict=True)
    }

  def from_torch(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Turns their arrays, of `torch_shape`, into ours, float32."""
    joined = np.concatenate([values[name] for name in self.theirs])
    if self.name == 'w':
      joined = np.moveaxis(joined, (0, 1), (-1, -2))
    return np.ascontiguousarray(joined.reshape(self.shape), np.float32)


def table(
  network: ml_collections.ConfigDict, heads: tuple[str, ...]
) -> list[Entry]:
  """Returns the parameters and averages of a network, here and in PyTorch."""
  shapes = architecture.shapes(network, heads)
  return entries(*shapes, selective_kernels=network.selective_kernels)


def entries(
  params: Mapping[str, Any],
  net_state: Mapping[str, Any],
  *,
  selective_kernels: bool,
) -> list[Entry]:
  """As `table`, of the shapes of parameters and averages."""
  rules = _SELECTIVE_RULES if selective_kernels else _PLAIN_RULES
  made = [
    Entry(False, module, name, _theirs(rules, module, name), tuple(leaf.shape))
    for module, group in params.items()
    for name, leaf in group.items()
  ]
  for module, group in net_state.items():
    norm, kind = module.rsplit('/~/', 1)
    shape = tuple(group['average'].shape)
    theirs = _theirs(rules, norm, kind)
    made.append(Entry(True, module, 'average', theirs, shape))
  return made


def to_torch(
  names: list[Entry], params: Tree, net_state: Tree
) -> dict[str, np.ndarray]:
  """Returns a state dict: what `load_state_dict` takes, in NumPy."""
  state: dict[str, np.ndarray] = {}
  for entry in names:
    group = (net_state if entry.average else params)[entry.module]
    state |= entry.to_torch(group[entry.name])
    if entry.average and entry.module.endswith('mean_ema'):
      count = np.asarray(group['counter'], np.int64)
      state |= {
        name.replace('running_mean', COUNTER): count for name in entry.theirs
      }
  return state


def from_torch(
  names: list[Entry], state: Mapping[str, np.ndarray]
) -> tuple[Tree, Tree]:
  """Returns parameters and averages of a state dict that has them all."""
  params: Tree = {}
  net_state: Tree = {}
  for entry in names:
    value = entry.from_torch(state)
    if entry.average:
      net_state[entry.module] = architecture.averages(value)
    else:
      params.setdefault(entry.module, {})[entry.name] = value
  return params, net_state


def _theirs(rules: Any, module: str, name: str) -> tuple[str, ...]:
  for pattern, names in rules:
    match = re.fullmatch(pattern, module)
    if match:
      return tuple(f'{_filled(each, match)}.{_LEAVES[name]}' for each in names)
  raise KeyError(f'{module} has no name in PyTorch')


def _filled(name: str, match: re.Match[str]) -> str:
  """Puts groups into a name; `{3+}` counts from one."""
  return re.sub(
    r'\{(\d)(\+?)\}',
    lambda slot: str(int(match[int(slot[1])]) + bool(slot[2])),
    name,
  )
