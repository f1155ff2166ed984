"""Import of a PyTorch state dict: finds the network, converts the weights.

`torch_names` has the names that projects give to parameters, `torch_identify`
the architecture for names and shapes.
"""

from collections.abc import Mapping
import re
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from semppl_jax.exchange import torch_identify, torch_mapping, torch_names
from semppl_jax.exchange.torch_identify import shape_of
from semppl_jax.exchange.torch_names import Naming
from semppl_jax.exchange.unpickle import brief
from semppl_jax.models.weights import (
  differences,
  summarize,
  Weights,
  WeightsError,
)

# Keys of the state dict in checkpoints of training programs.
_WRAPPERS = ('state_dict', 'model', 'encoder', 'model_state_dict', 'network')


class ImportedWeights(NamedTuple):
  """Weights from a file of another project.

  Attributes:
    weights: the network.
    left_out: names of parameters that it does not use.
  """

  weights: Weights
  left_out: tuple[str, ...]


def import_state_dict(
  tree: object, origin: str, interpolation: str
) -> ImportedWeights:
  """Converts the content of a PyTorch file to weights.

  Args:
    tree: a state dict, or a dict that contains one.
    origin: name of the file, for messages.
    interpolation: interpolation of its images, where the architecture has no
      usual one.

  Raises:
    WeightsError: no network of this project has such parameters.
  """
  where, naming, state, left_out = _unwrap(tree, origin)
  network = torch_identify.network_of(state, naming, origin)
  heads = _heads(state, naming, network)
  expected = torch_mapping.make_table(network, heads, naming)
  wanted = {
    name: jax.ShapeDtypeStruct(entry.torch_shape(), jnp.float32)
    for entry in expected
    for name in entry.torch_names
  }
  have = {
    name: value
    for name, value in state.items()
    if name in wanted or re.match(naming.encoder, name)
  }
  left_out += [brief(name) for name in state if name not in have]
  wrong = differences({where: have}, {where: wanted})
  if wrong:
    raise WeightsError(
      f'{origin} is closest to {describe(network)}, but differs:'
      f' {summarize(wrong)}.'
    )
  params, net_state = torch_mapping.from_torch(expected, have)
  preprocessing = torch_identify.preprocessing(network, interpolation)
  weights = Weights(network, params, net_state, preprocessing, (), origin)
  return ImportedWeights(weights, tuple(sorted(left_out)))


def describe(network: ml_collections.ConfigDict) -> str:
  """Returns the name of an architecture: `resnet50 x2, imagenet stem`."""
  kernels = ', selective kernels' if network.selective_kernels else ''
  return f'{network.backbone} x{network.width}{kernels}, {network.stem} stem'


def _unwrap(
  tree: object, origin: str
) -> tuple[str, Naming, dict[str, np.ndarray], list[str]]:
  """Returns key, naming and encoder of the state dict, and other names."""
  where, state = 'file', tree
  for name in _WRAPPERS:
    if isinstance(tree, dict) and _arrays(tree.get(name)):
      where, state = name, tree[name]
      break
  state = _arrays(state)
  roots = {
    (naming, match[1])
    for naming in torch_names.NAMINGS
    for name in state
    if (match := re.match(naming.root, name))
  }
  if len(roots) != 1:
    # Keys only, as the text of nested lists may be endless.
    names = state or (tree if isinstance(tree, dict) else {})
    has = f'has {summarize([brief(name) for name in names])}'
    marks = ', '.join(naming.mark for naming in torch_names.NAMINGS)
    raise WeightsError(
      f'{origin} has {len(roots)} networks of a known kind (parameters'
      f' {marks}), and must have one; it {has if names else _kind(tree)}.'
    )
  ((naming, root),) = roots
  own = {
    k.removeprefix(root): v for k, v in state.items() if k.startswith(root)
  }
  others = [brief(name) for name in state if not name.startswith(root)]
  return where, naming, own, others


def _kind(tree: object) -> str:
  if isinstance(tree, dict):
    return 'is empty'
  return f'is of type {type(tree).__name__}'


def _arrays(tree: object) -> dict[str, np.ndarray]:
  """Returns the arrays of a dict, without counts of updates."""
  if not isinstance(tree, Mapping):
    return {}
  return {
    name: value
    for name, value in tree.items()
    if isinstance(name, str)
    and isinstance(value, np.ndarray)
    and not name.endswith(torch_mapping.COUNTER)
  }


def _heads(
  state: Mapping[str, np.ndarray],
  naming: Naming,
  network: ml_collections.ConfigDict,
) -> tuple[str, ...]:
  """Returns the heads of the state; sets their sizes in `network`."""
  heads = []
  layers = sum(f'fc.fc{i}.weight' in state for i in range(1, 10))
  if layers > 1:
    heads.append('projector')
    network.projector.update(
      hidden=_outputs(state, 'fc.fc1.weight'),
      output=_outputs(state, f'fc.fc{layers}.weight'),
      layers=layers,
      last_bias=f'fc.fc{layers}.bias' in state,
    )
  if 'projector' in heads and 'pred.fc1.weight' in state:
    heads.append('predictor')
    network.predictor.update(
      hidden=_outputs(state, 'pred.fc1.weight'),
      last_bias='pred.fc2.bias' in state,
      # That of PAWS begins with a batch norm.
      input_norm='pred.bn2.weight' in state,
    )
  if 'projector' in heads and len(shape_of(state, 'prototypes.weight')) == 2:
    heads.append('prototypes')
    network.prototypes = _outputs(state, 'prototypes.weight')
  classifier = f'{naming.classifier}.weight'
  if len(shape_of(state, classifier)) == 2:
    heads.append('classifier')
    network.classifier.classes = _outputs(state, classifier)
  return tuple(heads)


def _outputs(state: Mapping[str, np.ndarray], name: str) -> int:
  shape = shape_of(state, name)
  return shape[0] if shape else 0
