"""Table of backbones by name.

To add one: (1) write its module here, from `layers.Layers`; (2) add an `_Entry`
to `_TABLE`; (3) `tests/models/backbones/test_backbones.py`, which then fails,
prints the command that stores its shapes.
"""

from collections.abc import Callable
import difflib
import functools
from typing import NamedTuple

import haiku as hk
import jax
from jaxtyping import Array
from ml_collections import ConfigDict

from semppl_jax.models.backbones import (
  efficientnet_lite,
  resnet,
  sk_resnet,
  wide_resnet,
)
from semppl_jax.models.backbones.layers import Layers

# (images [B * V, H, W, 3], is_training, views) -> features [B * V, F], float32
Backbone = Callable[[Array, bool, int], Array]

_PADDINGS = ('torch', 'same')
# Recomputed in the backward pass: nothing, the inside of each residual block,
# or all but products and convolutions.
REMAT = ('none', 'blocks', 'dots')


class _Entry(NamedTuple):
  """Line of the table.

  Attributes:
    make: `(config_network, layers)` to the backbone.
    stems: allowed values of `network.stem`.
    widths: allowed values of `network.width`.
    selective: allowed values of `network.selective_kernels`.
  """

  make: Callable[[ConfigDict, Layers], Backbone]
  stems: tuple[str, ...] = resnet.STEMS
  widths: tuple[int, ...] = resnet.WIDTHS
  selective: tuple[bool, ...] = (False,)


def _make_resnet(depth: int, config: ConfigDict, layers: Layers) -> Backbone:
  family = sk_resnet if config.selective_kernels else resnet
  return resnet.ResNet(
    family.layout(depth),
    layers,
    config.width,
    functools.partial(family.make_stem, config.stem, layers),
    name=f'{"sk_" if config.selective_kernels else ""}res_net{depth}',
  )


def _resnet_entry(depth: int) -> _Entry:
  selective = (False, True) if depth in sk_resnet.DEPTHS else (False,)
  return _Entry(functools.partial(_make_resnet, depth), selective=selective)


def _efficientnet_lite_entry(size: int) -> _Entry:
  return _Entry(
    lambda config, layers: efficientnet_lite.EfficientNetLite(
      size, layers, f'efficientnet_lite{size}'
    ),
    stems=('imagenet',),
    widths=(1,),
  )


_TABLE = {
  **{f'resnet{depth}': _resnet_entry(depth) for depth in resnet.BLOCKS},
  'resnet_tiny': _Entry(
    lambda config, layers: resnet.TinyResNet(layers, config.width),
    stems=('space_to_depth',),
  ),
  'wide_resnet28_2': _Entry(
    lambda config, layers: wide_resnet.WideResNet(layers, config.width),
    stems=('cifar',),
  ),
  **{
    f'efficientnet_lite{size}': _efficientnet_lite_entry(size)
    for size in efficientnet_lite.SIZES
  },
}

NAMES = tuple(_TABLE)


def problems(config_network: ConfigDict) -> list[str]:
  """Checks the fields of `config.network` that a backbone reads.

  Returns:
    A sentence for each value that is not allowed.
  """
  name = config_network.backbone
  if name not in _TABLE:
    near = difflib.get_close_matches(str(name), NAMES, 1, cutoff=0.0)[0]
    return [
      f'config.network.backbone={name!r} must be one of {", ".join(NAMES)};'
      f' did you mean {near!r}?'
    ]
  entry = _TABLE[name]
  allowed = {
    'width': entry.widths,
    'padding': _PADDINGS,
    'stem': entry.stems,
    'selective_kernels': entry.selective,
  }
  sentences = [
    f'config.network.{field}={config_network[field]!r} must be'
    f' {" or ".join(map(repr, values))} where backbone={name!r}.'
    for field, values in allowed.items()
    if config_network[field] not in values
  ]
  if _remat(config_network) not in REMAT:
    sentences.append(
      f'config.network.remat={config_network.remat!r} must be'
      f' {" or ".join(map(repr, REMAT))}.'
    )
  return sentences


def _remat(config_network: ConfigDict) -> str:
  # Networks of older checkpoints do not have the field.
  return config_network.get('remat', 'none')


def check(config_network: ConfigDict) -> None:
  """Raises a ValueError with all sentences of `problems`, if any."""
  if sentences := problems(config_network):
    raise ValueError(' '.join(sentences))


def make_backbone(config_network: ConfigDict) -> Backbone:
  """Builds the backbone of `config.network`, inside `hk.transform`.

  All calls of the returned function share its parameters.

  Raises:
    ValueError: as `check`.
  """
  check(config_network)
  remat = _remat(config_network)
  layers = Layers(
    config_network.padding,
    config_network.bn_decay,
    config_network.bn_eps,
    remat,
  )
  backbone = _TABLE[config_network.backbone].make(config_network, layers)
  return _remat_all_but_products(backbone) if remat == 'dots' else backbone


def _remat_all_but_products(backbone: Backbone) -> Backbone:
  return lambda x, is_training, views: hk.remat(
    lambda x: backbone(x, is_training, views),
    policy=jax.checkpoint_policies.dots_saveable,
  )(x)
