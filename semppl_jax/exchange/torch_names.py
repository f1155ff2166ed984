"""Names of parameters in PyTorch, by family of networks and by project.

To add a family: a `Naming` in `NAMINGS`, its network in `torch_identify`, and
its forward pass in `torch_reference`, which verifies exports.

timm's selective-kernel ResNet loads these names if it is built with

  timm.models.resnet.ResNet(
    timm.models.sknet.SelectiveKernelBottleneck, (3, 4, 6, 3),
    stem_type='deep', stem_width=32, avg_down=True,
    block_args=dict(sk_kwargs=dict(
      kernel_size=[3, 3], split_input=False, rd_channels=32)))

and one module is replaced: SimCLRv2 and this project average 2x2 pixels before
the first projection at stride 1 too, and timm does not.
"""

from collections.abc import Callable, Sequence
import re
from typing import NamedTuple

import ml_collections

from semppl_jax.models.backbones import efficientnet_lite

# A pattern of a module here and its names in PyTorch. `{1}` is group 1 of the
# pattern (0 if absent), `{1+}` that number plus one. Two names are halves of
# the outputs.
Rules = Sequence[tuple[str, tuple[str, ...]]]

SELECTIVE_NOTE = (
  'timm leaves out the average pool of a shortcut with stride 1:'
  ' set layer1[0].downsample[0] = torch.nn.Sequential('
  'torch.nn.ReplicationPad2d((0, 1, 0, 1)), torch.nn.AvgPool2d(2, 1)).'
)

# WideResNet-28-2 has one module per block, ResNets also one per group.
_GROUP = r'[^/]+/~/block_group_(\d)(?:/~/|_)block_(\d+)/~/'
_WIDE = _GROUP.replace('(?:/~/|_)', '_')
_SELECTIVE = rf'{_GROUP}selective_kernel/~/'

# Heads, as PAWS names them.
_HEADS: Rules = (
  (r'projector/linear(?:_(\d))?', ('fc.fc{1+}',)),
  (r'projector/batch_norm(?:_(\d))?', ('fc.bn{1+}',)),
  (r'predictor/linear(?:_(\d))?', ('pred.fc{1+}',)),
  (r'predictor/batch_norm(?:_(\d))?', ('pred.bn{1+}',)),
  (r'prototypes', ('prototypes',)),
)
_PLAIN_RESNET: Rules = (
  (r'[^/]+/~/initial_conv', ('conv1',)),
  (r'[^/]+/~/initial_batchnorm', ('bn1',)),
  (rf'{_GROUP}conv_(\d)', ('layer{1+}.{2}.conv{3+}',)),
  (rf'{_GROUP}batchnorm_(\d)', ('layer{1+}.{2}.bn{3+}',)),
  (rf'{_WIDE}shortcut_conv', ('layer{1+}.{2}.shortcut.0',)),
  (rf'{_GROUP}shortcut_conv', ('layer{1+}.{2}.downsample.0',)),
  (rf'{_GROUP}shortcut_batchnorm', ('layer{1+}.{2}.downsample.1',)),
  (r'[^/]+/~/final_batchnorm', ('bn1',)),
)
_SELECTIVE_RESNET: Rules = (
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
  *_PLAIN_RESNET,
)


class Naming(NamedTuple):
  """Names that projects give to the parameters of one family of networks.

  Attributes:
    backbones: pattern of the names of the backbones here.
    mark: a name that every such file has, for messages.
    root: pattern of that name; its group 1 is the prefix of all names.
    encoder: pattern of the beginnings of the encoder's names.
    classifier: name of the linear classifier.
    rules: from `config.network` to the rules of its encoder.
    padding: `network.padding` of the networks in PyTorch.
    bn_eps: their epsilon.
  """

  backbones: str
  mark: str
  root: str
  encoder: str
  classifier: str
  rules: Callable[[ml_collections.ConfigDict], Rules]
  padding: str = 'torch'
  bn_eps: float = 1e-5

  def all_rules(self, network: ml_collections.ConfigDict) -> Rules:
    """Returns the rules of encoder and heads."""
    classifier = ('classifier', (self.classifier,))
    return (*self.rules(network), classifier, *_HEADS)


def _resnet_rules(network: ml_collections.ConfigDict) -> Rules:
  return _SELECTIVE_RESNET if network.selective_kernels else _PLAIN_RESNET


def lite_size(network: ml_collections.ConfigDict) -> int:
  """Returns the size in the name of an EfficientNet-Lite."""
  return int(network.backbone.removeprefix('efficientnet_lite'))


def _timm_lite_rules(network: ml_collections.ConfigDict) -> Rules:
  """Returns timm's names, which number the blocks within their stage."""
  rules = [
    (r'[^/]+/~/stem_conv', ('conv_stem',)),
    (r'[^/]+/~/stem_batchnorm', ('bn1',)),
    (r'[^/]+/~/head_conv', ('conv_head',)),
    (r'[^/]+/~/head_batchnorm', ('bn2',)),
  ]
  number = 0
  for i, stage in enumerate(efficientnet_lite.stages(lite_size(network))):
    # Blocks without an expansion have fewer layers, of other names.
    parts = ('expand', 'depthwise', 'project')
    convs = ('conv_pw', 'conv_dw', 'conv_pwl')
    if stage.expansion == 1:
      parts, convs = parts[1:], ('conv_dw', 'conv_pw')
    for j in range(stage.blocks):
      for k, (part, conv) in enumerate(zip(parts, convs, strict=True), 1):
        own = rf'[^/]+/~/block_{number}/~/{part}'
        rules.append((f'{own}_conv', (f'blocks.{i}.{j}.{conv}',)))
        rules.append((f'{own}_batchnorm', (f'blocks.{i}.{j}.bn{k}',)))
      number += 1
  return rules


_BLOCK = r'[^/]+/~/block_(\d+)/~/'
_EFFICIENTNET_PYTORCH: Rules = (
  (r'[^/]+/~/stem_conv', ('_conv_stem',)),
  (r'[^/]+/~/stem_batchnorm', ('_bn0',)),
  (rf'{_BLOCK}expand_conv', ('_blocks.{1}._expand_conv',)),
  (rf'{_BLOCK}expand_batchnorm', ('_blocks.{1}._bn0',)),
  (rf'{_BLOCK}depthwise_conv', ('_blocks.{1}._depthwise_conv',)),
  (rf'{_BLOCK}depthwise_batchnorm', ('_blocks.{1}._bn1',)),
  (rf'{_BLOCK}project_conv', ('_blocks.{1}._project_conv',)),
  (rf'{_BLOCK}project_batchnorm', ('_blocks.{1}._bn2',)),
  (r'[^/]+/~/head_conv', ('_conv_head',)),
  (r'[^/]+/~/head_batchnorm', ('_bn1',)),
)

RESNET = Naming(
  backbones=r'(wide_)?resnet\d+(_2)?',
  mark='layer1.0.conv1',
  root=r'(.*?)layer1\.0\.(?:conv|bn)\d',
  encoder=r'(conv1|bn1|layer\d)\.',
  classifier='fc',
  rules=_resnet_rules,
)
TIMM_LITE = Naming(
  backbones=r'efficientnet_lite\d',
  mark='blocks.0.0.conv_dw',
  root=r'(.*?)blocks\.0\.0\.conv_dw\.weight',
  encoder=r'(conv_stem|bn1|blocks\.\d+|conv_head|bn2)\.',
  classifier='classifier',
  rules=_timm_lite_rules,
  padding='same',
  bn_eps=1e-3,
)
# Of the package efficientnet_lite_pytorch.
PYTORCH_LITE = TIMM_LITE._replace(
  mark='_blocks.0._depthwise_conv',
  root=r'(.*?)_blocks\.0\._depthwise_conv\.weight',
  encoder=r'(_conv_stem|_bn0|_blocks\.\d+|_conv_head|_bn1)\.',
  classifier='_fc',
  rules=lambda network: _EFFICIENTNET_PYTORCH,
)
# Exports have the first that fits.
NAMINGS = (RESNET, TIMM_LITE, PYTORCH_LITE)


def of_network(network: ml_collections.ConfigDict) -> Naming | None:
  """Returns the naming of exports, or None where PyTorch has no such net."""
  for naming in NAMINGS:
    if re.fullmatch(naming.backbones, network.backbone):
      return naming
  return None
