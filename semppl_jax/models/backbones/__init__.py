"""The table of backbones: names to Haiku modules."""

from collections.abc import Callable
import difflib
import functools
from typing import Any, NamedTuple

import haiku as hk
import jax

from semppl_jax.models.backbones import (
  resnet,
  sk_resnet,
  tiny_resnet,
  wide_resnet,
)
from semppl_jax.models.backbones.layers import Layers

# (images [B * V, H, W, 3], is_training, views) -> features [B * V, F], float32
Backbone = Callable[[jax.Array, bool, int], jax.Array]

_PADDINGS = ('torch', 'same')
# What the backward pass computes again rather than finds in memory: nothing,
# all inside each residual block, or all but products and convolutions.
REMAT = ('none', 'blocks', 'dots')


class _Entry(NamedTuple):
  """A line of the table.

  Attributes:
    make: `(config_network, layers)` to the backbone.
    stems: allowed values of `network.stem`.
    selective: allowed values of `network.selective_kernels`.
  """

  make: Callable[[Any, Layers], Backbone]
  stems: tuple[str, ...] = resnet.STEMS
  selective: tuple[bool, ...] = (False,)


def _make_resnet(depth: int, config: Any, layers: Layers) -> Backbone:
  kind = sk_resnet if config.selective_kernels else resnet
  return resnet.ResNet(
    kind.plan(depth),
    layers,
    config.width,
    functools.partial(kind.make_stem, config.stem, layers),
    name=f'{"sk_" if config.selective_kernels else ""}res_net{depth}',
  )


def _resnet_entry(depth: int) -> _Entry:
  selective = (False, True) if depth in sk_resnet.DEPTHS else (False,)
  return _Entry(functools.partial(_make_resnet, depth), selective=selective)


_TABLE = {
  **{f'resnet{depth}': _resnet_entry(depth) for depth in resnet.BLOCKS},
  'resnet_tiny': _Entry(
    lambda config, layers: tiny_resnet.TinyResNet(layers, config.width),
    stems=('space_to_depth',),
  ),
  'wide_resnet28_2': _Entry(
    lambda config, layers: wide_resnet.WideResNet(layers, config.width),
    stems=('cifar',),
  ),
}

NAMES = tuple(_TABLE)


def problems(config_network: Any) -> list[str]:
  """Checks the fields of `config.network` that a backbone reads.

  Returns:
    A sentence for each one that the backbone cannot be made of.
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
    'width': resnet.WIDTHS,
    'padding': _PADDINGS,
    'stem': entry.stems,
    'selective_kernels': entry.selective,
  }
  found = [
    f'config.network.{field}={config_network[field]!r} must be'
    f' {" or ".join(map(repr, values))} where backbone={name!r}.'
    for field, values in allowed.items()
    if config_network[field] not in values
  ]
  if _remat(config_network) not in REMAT:
    found.append(
      f'config.network.remat={config_network.remat!r} must be'
      f' {" or ".join(map(repr, REMAT))}.'
    )
  return found


def _remat(config_network: Any) -> str:
  """What to compute again; networks saved before there was a choice: none."""
  return config_network.get('remat', 'none')


def check(config_network: Any) -> None:
  """Stops on a backbone that cannot be made.

  Raises:
    ValueError: all that `problems` says.
  """
  found = problems(config_network)
  if found:
    raise ValueError(' '.join(found))


def make(config_network: Any) -> Backbone:
  """Makes the backbone of `config.network`, inside `hk.transform`.

  Its modules are made here, so that several calls of what this returns share
  their parameters.

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
  return _keeping_products(backbone) if remat == 'dots' else backbone


def _keeping_products(backbone: Backbone) -> Backbone:
  """Makes the backward pass compute all but products and convolutions again."""
  return lambda x, is_training, views: hk.remat(
    lambda x: backbone(x, is_training, views),
    policy=jax.checkpoint_policies.dots_saveable,
  )(x)
