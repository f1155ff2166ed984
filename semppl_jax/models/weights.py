"""A trained network without its training: what evaluations and exports read.

Arrays are NumPy's, on the host, in trees of two levels as Haiku keeps them:
module, then parameter.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import ml_collections
import numpy as np

from semppl_jax.models.network import HEADS
from semppl_jax.runtime.errors import InputError

Tree = dict[str, dict[str, np.ndarray]]


class Preprocessing(NamedTuple):
  """What an image goes through before the network.

  Attributes:
    resize: its short side is scaled to so many pixels.
    crop: side of the square that is cut from the centre, pixels.
    interpolation: `'bicubic'` or `'bilinear'`.
    mean: taken off each channel, for values in [0, 1].
    std: each channel is divided by it.
  """

  resize: int
  crop: int
  interpolation: str
  mean: tuple[float, ...]
  std: tuple[float, ...]


class Weights(NamedTuple):
  """A network and what it takes to use it.

  Attributes:
    network: settings as in `config.network`, all of them.
    params: parameters.
    net_state: batch-norm averages.
    preprocessing: of its images.
    class_names: names of the classes [C]; () where they are not known.
    origin: where it is from, for messages and results.
    config: config of the run that it is from, or None.
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
    """Heads that it has, in the order of `network.HEADS`."""
    found = {module.split('/')[0] for module in self.params}
    return tuple(head for head in HEADS if head in found)


class WeightsError(InputError):
  """Weights do not fit a network, or a file of them cannot be used."""


def part(tree: Mapping[str, Any], *, heads: tuple[str, ...]) -> Tree:
  """Returns the encoder's modules and those of `heads`."""
  left_out = set(HEADS) - set(heads)
  return {
    k: dict(v) for k, v in tree.items() if k.split('/')[0] not in left_out
  }


def differences(
  found: Mapping[str, Any], expected: Mapping[str, Any]
) -> list[str]:
  """Says which parameters are missing, surplus or of another shape.

  Args:
    found: a tree of arrays.
    expected: a tree of arrays or of their shapes.

  Returns:
    A phrase for each, with path, expected and found shape.
  """
  have, want = _shapes(found), _shapes(expected)
  phrases = [
    f'{path} is missing (expected {want[path]})'
    for path in sorted(want.keys() - have.keys())
  ]
  phrases += [
    f'{path} is surplus (found {have[path]})'
    for path in sorted(have.keys() - want.keys())
  ]
  phrases += [
    f'{path} has shape {have[path]} (expected {want[path]})'
    for path in sorted(have.keys() & want.keys())
    if have[path] != want[path]
  ]
  return phrases


def merged(
  weights: Weights,
  params: Mapping[str, Any],
  net_state: Mapping[str, Any],
  heads: Sequence[str] = HEADS,
) -> tuple[Tree, Tree, list[str]]:
  """Puts weights into the trees of a fresh network.

  The encoder must fit as a whole, and every head that is there, is wanted and
  is asked for. Other heads stay fresh.

  Args:
    weights: what to start from.
    params: fresh parameters, or their shapes.
    net_state: fresh batch-norm averages, or their shapes.
    heads: those to take.

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
    for phrase in differences(part(have, heads=()), part(want, heads=()))
  ]
  if wrong:
    raise WeightsError(
      f'{weights.origin} does not fit the network: {listed(wrong)}.'
    )
  taken = [
    head
    for head in HEADS
    if head in heads and head in weights.heads and _has(params, head)
  ]
  wrong = [
    phrase
    for head in taken
    for have, want in trees
    for phrase in differences(only(have, head), only(want, head))
  ]
  if wrong:
    raise WeightsError(
      f'The heads of {weights.origin} do not fit those of the network:'
      f' {listed(wrong)}; leave them out to start new ones.'
    )
  own, averages = (
    {
      module: dict(have[module] if _belongs(module, taken) else group)
      for module, group in want.items()
    }
    for have, want in trees
  )
  return own, averages, taken


def _belongs(module: str, heads: list[str]) -> bool:
  head = module.split('/')[0]
  return head in heads or head not in HEADS


def _has(tree: Mapping[str, Any], head: str) -> bool:
  return bool(only(tree, head))


def only(tree: Mapping[str, Any], head: str) -> dict[str, Any]:
  """Returns the modules of a head."""
  return {k: v for k, v in tree.items() if k.split('/')[0] == head}


def _shapes(tree: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
  return {
    f'{module}/{name}': tuple(value.shape)
    for module, group in tree.items()
    for name, value in group.items()
  }


def listed(phrases: list[str], most: int = 5) -> str:
  """Joins the first phrases and counts the others."""
  more = len(phrases) - most
  shown = '; '.join(phrases[:most])
  return f'{shown}; and {more} more' if more > 0 else shown
