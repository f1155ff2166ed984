"""Mapping of parameters between this project and PyTorch, by name and layout.

One table for both directions, with the names of `torch_names`. Convolutions are
HWIO here and OIHW in PyTorch, linear layers are transposed, and scale, offset
and averages of a batch norm are flat in PyTorch.
"""

from collections.abc import Mapping
import re
from typing import NamedTuple

from jaxtyping import PyTree
import ml_collections
import numpy as np

from semppl_jax.exchange import architecture, torch_names
from semppl_jax.exchange.torch_names import Naming, Rules
from semppl_jax.models.weights import Tree

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
  network: ml_collections.ConfigDict,
  heads: tuple[str, ...],
  naming: Naming | None = None,
) -> list[Entry]:
  """Returns the parameters and averages of a network, here and in PyTorch.

  Args:
    network: `config.network`.
    heads: heads beside the encoder.
    naming: names in PyTorch; by default those of an export.
  """
  naming = naming or torch_names.of_network(network)
  assert naming is not None
  shapes = architecture.shapes(network, heads)
  return entries(*shapes, naming.all_rules(network))


def entries(params: PyTree, net_state: PyTree, rules: Rules) -> list[Entry]:
  """Returns the table for the shapes of parameters and averages."""
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


def _torch_names(rules: Rules, module: str, name: str) -> tuple[str, ...]:
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
