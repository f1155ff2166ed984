"""Import of DeepMind's checkpoints of BYOL, ReLICv2 and SemPPL.

They are pickles of `{experiment_state: {online_params, online_state,
target_params, target_state, ...}, step, rng}`, written by dill. BYOL has a
named tuple there (deepmind-research, byol/); ReLICv2 and SemPPL have a dict and
a leading axis of devices. Parameters have the same names and shapes as here
(`backbones.resnet`), except selective kernels, whose code was not released.
"""

import pathlib
import re

from jaxtyping import PyTree
import ml_collections
import numpy as np

from semppl_jax.exchange import (
  architecture,
  torch_identify,
  torch_import,
  unpickle,
  unpickle_types,
)
from semppl_jax.exchange.torch_import import ImportedWeights
from semppl_jax.models.backbones import resnet
from semppl_jax.models.network import HEADS
from semppl_jax.models.weights import (
  differences,
  modules_of,
  summarize,
  Tree,
  Weights,
  WeightsError,
)

NETWORKS = ('online', 'target')
_LEAF = np.ndarray | np.generic

_ROOT = re.compile(r'(sk_)?res_net(\d{1,4})/~/')


def read(path: pathlib.Path) -> object:
  """Reads the pickle without executing any of it.

  Raises:
    WeightsError: it is damaged, or names anything that weights do not need.
  """
  size = path.stat().st_size
  with path.open('rb') as file:
    known = unpickle_types.make_known(size)
    return unpickle.load(file, str(path), known)


def import_tree(
  tree: object, origin: str, network_name: str = 'online'
) -> ImportedWeights:
  """Converts the content of a checkpoint to weights.

  Args:
    tree: the content, from `read`.
    origin: name of the file, for messages.
    network_name: `'online'` or `'target'`.

  Raises:
    WeightsError: no network of this project has such parameters.
  """
  params = _modules(tree, f'{network_name}_params', origin)
  net_state = _modules(tree, f'{network_name}_state', origin)
  roots = {m[0]: m for name in params if (m := _ROOT.match(name))}
  if len(roots) != 1:
    raise WeightsError(
      f'{origin} has {len(roots)} networks of a known name (res_net50/~/...),'
      ' and must have one; its modules are'
      f' {summarize([unpickle.brief(name) for name in params])}.'
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
      f'{origin} is closest to {torch_import.describe(network)}, but differs:'
      f' {summarize(wrong)}.'
    )
  weights = Weights(
    network,
    architecture.copy_arrays(trees[0]),
    architecture.copy_arrays(trees[1]),
    torch_identify.imagenet('bicubic'),
    (),
    f'{origin} ({network_name} network)',
  )
  left_out = {*params, *net_state} - {*trees[0], *trees[1]}
  return ImportedWeights(weights, tuple(sorted(left_out)))


def _modules(tree: object, name: str, origin: str) -> Tree:
  state = tree.get('experiment_state') if isinstance(tree, dict) else None
  modules = state.get(name) if isinstance(state, dict) else None
  if not isinstance(modules, dict):
    raise WeightsError(
      f"{origin} has not the layout of DeepMind's checkpoints:"
      f' experiment_state/{name} not found.'
    )
  return {
    module: {k: np.asarray(v) for k, v in group.items() if isinstance(v, _LEAF)}
    for module, group in modules.items()
    if isinstance(module, str) and isinstance(group, dict)
  }


def _first_device(tree: Tree) -> Tree:
  """Removes the axis of devices from all leaves; all devices are equal."""
  return {
    module: {k: v[0] if v.ndim and len(v) else v for k, v in group.items()}
    for module, group in tree.items()
  }


def _network(
  params: Tree, root: re.Match[str], origin: str
) -> ml_collections.ConfigDict:
  """Returns the config of the encoder closest to the names and shapes."""
  selective, depth = bool(root[1]), int(root[2])
  if depth not in resnet.BLOCKS:
    raise WeightsError(
      f'{origin} has a ResNet of {depth} layers, which is not supported.'
    )
  last = f'{root[0]}initial_conv{"_2" if selective else ""}'
  channels = _outputs(params, last) or 64
  return architecture.network_config(
    backbone=f'resnet{depth}',
    width=min(resnet.WIDTHS, key=lambda width: abs(64 * width - channels)),
    selective_kernels=selective,
    padding='same',
  )


def _heads(
  params: Tree, network: ml_collections.ConfigDict
) -> tuple[tuple[str, ...], tuple[PyTree, PyTree]]:
  """Returns the supported heads, and the shapes of the network with them.

  Sets the sizes of the heads in `network`.
  """
  layers = {
    head: sorted(k for k in params if re.fullmatch(rf'{head}/linear(_\d)?', k))
    for head in ('projector', 'predictor')
  }
  present: list[str] = []
  if len(layers['projector']) > 1:
    first, *_, last = layers['projector']
    network.projector.update(
      hidden=_outputs(params, first),
      output=_outputs(params, last),
      layers=len(layers['projector']),
      last_bias='b' in params[last],
    )
    present.append('projector')
    if layers['predictor']:
      first, *_, last = layers['predictor']
      network.predictor.update(
        hidden=_outputs(params, first),
        last_bias='b' in params[last],
        input_norm='predictor/batch_norm_1' in params,
      )
      present.append('predictor')
    if _outputs(params, 'prototypes'):
      network.prototypes = _outputs(params, 'prototypes')
      present.append('prototypes')
  classes = _outputs(params, 'classifier')
  if classes:
    network.classifier.classes = classes
    present.append('classifier')
  want = architecture.shapes(network, tuple(h for h in HEADS if h in present))
  heads: list[str] = []
  for head in present:
    below = head in ('projector', 'classifier') or 'projector' in heads
    own, other = modules_of(params, head), modules_of(want[0], head)
    if below and not differences(own, other):
      heads.append(head)
  dropped = set(present) - set(heads)
  kept, averages = (
    {k: v for k, v in tree.items() if k.split('/')[0] not in dropped}
    for tree in want
  )
  return tuple(heads), (kept, averages)


def _outputs(params: Tree, module: str) -> int:
  kernel = params.get(module, {}).get('w')
  return kernel.shape[-1] if kernel is not None and kernel.ndim else 0
