"""Reads DeepMind's checkpoints: those of BYOL, ReLICv2 and SemPPL.

They are pickles of `{experiment_state: {online_params, online_state,
target_params, target_state, ...}, step, rng}`, written by dill. BYOL has a
named tuple there and arrays as they are (deepmind-research, byol/); ReLICv2 and
SemPPL have a dict, and an axis over devices in front. Parameters have the same
names and shapes there and here (`backbones.resnet`), but for those of selective
kernels, whose code was not released.
"""

from collections.abc import Mapping
import pathlib
import re
from typing import Any

import ml_collections
import numpy as np

from semppl_jax.exchange import (
  architecture,
  torch_import,
  unpickle,
  unpickle_types,
)
from semppl_jax.models.backbones import resnet
from semppl_jax.models.network import HEADS
from semppl_jax.models.weights import (
  differences,
  listed,
  only,
  Tree,
  Weights,
  WeightsError,
)

NETWORKS = ('online', 'target')

_ROOT = re.compile(r'(sk_)?res_net(\d{1,4})/~/')


def read(path: pathlib.Path) -> Any:
  """Reads the pickle without running any of it.

  Raises:
    WeightsError: it is damaged, or names what no file of weights has to.
  """
  size = path.stat().st_size
  with path.open('rb') as file:
    known = unpickle_types.make_known(size)
    return unpickle.load(file, str(path), known)


def find(tree: Any, origin: str, which: str = 'online') -> torch_import.Found:
  """Makes weights of what such a file has.

  Args:
    tree: what `read` returned.
    origin: the file's name, for messages.
    which: `'online'` or `'target'`: whose weights.

  Raises:
    WeightsError: no network of this project has such parameters.
  """
  params = _part(tree, f'{which}_params', origin)
  net_state = _part(tree, f'{which}_state', origin)
  roots = {m[0]: m for name in params if (m := _ROOT.match(name))}
  if len(roots) != 1:
    raise WeightsError(
      f'{origin} holds {len(roots)} networks of a known name (res_net50/~/...)'
      ' where one can be read; its modules are'
      f' {listed([unpickle.brief(name) for name in params])}.'
    )
  (root,) = roots
  stem = (group for name, group in params.items() if 'initial_conv' in name)
  kernel = next((group['w'] for group in stem if 'w' in group), None)
  if kernel is not None and kernel.ndim == 5:
    params = _first_device(params)
  counters = [g['counter'] for g in net_state.values() if 'counter' in g]
  if counters and counters[0].ndim == 1:
    net_state = _first_device(net_state)
  network = _network(params, roots[root], origin)
  heads, (want, want_state) = _heads(params, network)
  own = {root.split('/')[0], *heads}
  trees = [
    {k: v for k, v in each.items() if k.split('/')[0] in own}
    for each in (params, net_state)
  ]
  wrong = differences(trees[0], want) + differences(trees[1], want_state)
  if wrong:
    raise WeightsError(
      f'{origin} is nearest to {torch_import.describe(network)}, and differs:'
      f' {listed(wrong)}.'
    )
  weights = Weights(
    network,
    architecture.owned(trees[0]),
    architecture.owned(trees[1]),
    torch_import.imagenet('bicubic'),
    (),
    f'{origin} ({which} network)',
  )
  left_out = {*params, *net_state} - {*trees[0], *trees[1]}
  return torch_import.Found(weights, tuple(sorted(left_out)))


def _part(tree: Any, name: str, origin: str) -> Tree:
  state = tree.get('experiment_state') if isinstance(tree, dict) else None
  modules = state.get(name) if isinstance(state, dict) else None
  if not isinstance(modules, dict):
    raise WeightsError(
      f"{origin} is not laid out as DeepMind's checkpoints: it has no"
      f' experiment_state/{name}.'
    )
  return {
    module: {k: np.asarray(v) for k, v in group.items() if _is_array(v)}
    for module, group in modules.items()
    if isinstance(module, str) and isinstance(group, dict)
  }


def _is_array(value: Any) -> bool:
  return isinstance(value, np.ndarray | np.generic)


def _first_device(tree: Tree) -> Tree:
  """Takes an axis over devices off all leaves; all devices have the same."""
  return {
    module: {k: v[0] if v.ndim and len(v) else v for k, v in group.items()}
    for module, group in tree.items()
  }


def _network(
  params: Mapping[str, Any], root: re.Match[str], origin: str
) -> ml_collections.ConfigDict:
  """Settings of the encoder that the names and shapes are nearest to."""
  selective, depth = bool(root[1]), int(root[2])
  if depth not in resnet.BLOCKS:
    raise WeightsError(
      f'{origin} has a ResNet of {depth} layers; there is none.'
    )
  last = f'{root[0]}initial_conv{"_2" if selective else ""}'
  channels = _outputs(params, last) or 64
  return architecture.settings(
    backbone=f'resnet{depth}',
    width=min(resnet.WIDTHS, key=lambda width: abs(64 * width - channels)),
    selective_kernels=selective,
    padding='same',
  )


def _heads(
  params: Mapping[str, Any], network: ml_collections.ConfigDict
) -> tuple[tuple[str, ...], tuple[dict[str, Any], dict[str, Any]]]:
  """Finds the heads that are as this project has them; sets their sizes.

  Returns:
    Their names, and the shapes of the network with them.
  """
  layers = {
    head: sorted(k for k in params if re.fullmatch(rf'{head}/linear(_\d)?', k))
    for head in ('projector', 'predictor')
  }
  tried: list[str] = []
  if len(layers['projector']) > 1:
    first, *_, last = layers['projector']
    network.projector.update(
      hidden=_outputs(params, first),
      output=_outputs(params, last),
      layers=len(layers['projector']),
      last_bias='b' in params[last],
    )
    tried.append('projector')
    if layers['predictor']:
      first, *_, last = layers['predictor']
      network.predictor.update(
        hidden=_outputs(params, first),
        last_bias='b' in params[last],
        input_norm='predictor/batch_norm_1' in params,
      )
      tried.append('predictor')
    if _outputs(params, 'prototypes'):
      network.prototypes = _outputs(params, 'prototypes')
      tried.append('prototypes')
  classes = _outputs(params, 'classifier')
  if classes:
    network.classifier.classes = classes
    tried.append('classifier')
  want = architecture.shapes(network, tuple(h for h in HEADS if h in tried))
  heads: list[str] = []
  for head in tried:
    below = head in ('projector', 'classifier') or 'projector' in heads
    if below and not differences(only(params, head), only(want[0], head)):
      heads.append(head)
  dropped = set(tried) - set(heads)
  kept, averages = (
    {k: v for k, v in tree.items() if k.split('/')[0] not in dropped}
    for tree in want
  )
  return tuple(heads), (kept, averages)


def _outputs(params: Mapping[str, Any], module: str) -> int:
  kernel = params.get(module, {}).get('w')
  return kernel.shape[-1] if kernel is not None and kernel.ndim else 0
