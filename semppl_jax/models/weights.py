"""Weights of a trained network, as evaluations and exports read them.

Arrays are NumPy arrays on the host, in Haiku's trees of two levels: module,
then parameter.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from jaxtyping import PyTree
import ml_collections
import numpy as np

from semppl_jax.models.network import HEADS
from semppl_jax.runtime.errors import InputError

Tree = dict[str, dict[str, np.ndarray]]


class Preprocessing(NamedTuple):
  """Preprocessing of an image before the network.

  Attributes:
    resize: length of the short side after scaling, pixels.
    crop: side of the square center crop, pixels.
    interpolation: `'bicubic'` or `'bilinear'`.
    mean: subtracted from each channel, for values in [0, 1].
    std: divisor of each channel.
  """

  resize: int
  crop: int
  interpolation: str
  mean: tuple[float, ...]
  std: tuple[float, ...]


class Weights(NamedTuple):
  """A network with its weights and its preprocessing.

  Attributes:
    network: all settings of `config.network`.
    params: parameters.
    net_state: batch-norm averages.
    preprocessing: of its images.
    class_names: names of the classes [C]; () where they are unknown.
    origin: the source, for messages and results.
    config: config of the run that trained it, or None.
  """

  network: ml_collections.ConfigDict
  params: Tree
  net_state: Tree
  preprocessing: Preprocessing
  class_names: tuple[str, ...] = ()
  origin: str = ''
  config: ml_collections.ConfigDict | None = None

  @property
  def heads(self) -> tuple[str, ...]:
    """Heads of the network, in the order of `network.HEADS`."""
    return tuple(head for head in HEADS if modules_of(self.params, head))


class WeightsError(InputError):
  """Weights do not fit a network, or a file of them cannot be used."""


def modules_of(tree: PyTree, head: str) -> PyTree:
  """Returns the modules of one head."""
  return {k: v for k, v in tree.items() if _head_of(k) == head}


def select_heads(tree: PyTree, *, heads: Sequence[str]) -> PyTree:
  """Returns the modules of the encoder and of `heads`."""
  return {k: dict(v) for k, v in tree.items() if _is_part(k, heads)}


def differences(tree: PyTree, expected: PyTree) -> list[str]:
  """Compares the parameters of two trees.

  Args:
    tree: a tree of arrays or of their shapes.
    expected: likewise.

  Returns:
    A phrase, with path and shapes, for each parameter that is missing, surplus
    or of another shape.
  """
  have, want = dict(_shapes(tree)), dict(_shapes(expected))
  missing = sorted(want.keys() - have.keys())
  surplus = sorted(have.keys() - want.keys())
  both = sorted(have.keys() & want.keys())
  return [
    *(f'{path} is missing (expected {want[path]})' for path in missing),
    *(f'{path} is surplus (found {have[path]})' for path in surplus),
    *(
      f'{path} has shape {have[path]} (expected {want[path]})'
      for path in both
      if have[path] != want[path]
    ),
  ]


def merge(
  weights: Weights,
  params: PyTree,
  net_state: PyTree,
  heads: Sequence[str] = HEADS,
) -> tuple[PyTree, PyTree, list[str]]:
  """Puts weights into the trees of a fresh network.

  The encoder must fit, and so must every head that both have and that is in
  `heads`. The other heads stay fresh.

  Args:
    weights: the weights to start from.
    params: fresh parameters, or their shapes.
    net_state: fresh batch-norm averages, or their shapes.
    heads: heads to take.

  Returns:
    Parameters, averages and the heads that were taken.

  Raises:
    WeightsError: something does not fit; names the parameters that differ,
      with their shapes.
  """
  trees = (weights.params, params), (weights.net_state, net_state)
  wrong = [
    phrase
    for have, want in trees
    for phrase in differences(
      select_heads(have, heads=()), select_heads(want, heads=())
    )
  ]
  if wrong:
    raise WeightsError(
      f'{weights.origin} does not fit the network: {summarize(wrong)}.'
    )
  taken = [
    head for head in weights.heads if head in heads and modules_of(params, head)
  ]
  wrong = [
    phrase
    for head in taken
    for have, want in trees
    for phrase in differences(modules_of(have, head), modules_of(want, head))
  ]
  if wrong:
    raise WeightsError(
      f'The heads of {weights.origin} do not fit those of the network:'
      f' {summarize(wrong)}; leave them out to start new ones.'
    )
  new_params, new_state = (
    {
      module: dict(have[module] if _is_part(module, taken) else group)
      for module, group in want.items()
    }
    for have, want in trees
  )
  return new_params, new_state, taken


def _head_of(module: str) -> str:
  return module.split('/')[0]


def _is_part(module: str, heads: Sequence[str]) -> bool:
  """Returns True for a module of the encoder or of one of `heads`."""
  return _head_of(module) in heads or _head_of(module) not in HEADS


def _shapes(tree: PyTree) -> Iterator[tuple[str, tuple[int, ...]]]:
  for module, group in tree.items():
    for name, value in group.items():
      yield f'{module}/{name}', tuple(value.shape)


def summarize(phrases: Sequence[str], most: int = 5) -> str:
  """Joins the first phrases and counts the others."""
  more = len(phrases) - most
  shown = '; '.join(phrases[:most])
  return f'{shown}; and {more} more' if more > 0 else shown
