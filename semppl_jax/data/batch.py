"""What one step of training sees."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

UNLABELLED = -1

# Of the host, of the devices, or the shape of one.
Array = jax.Array | Any


class Support(NamedTuple):
  """Labelled rows of one step, as many of each of its classes, uncoloured.

  S = classes x images per class rows, those of a class side by side.

  Attributes:
    large: large crops [S, v, H, W, 3], uint8.
    label: class of the row, int32 [S].
    column: place of that class among those of the support batch, int32 [S].
    index: position of the image in the train set, int32 [S]; its identity.
  """

  large: Array
  label: Array
  column: Array
  index: Array


class Batch(NamedTuple):
  """Rows of one step, uncoloured: colour operations run inside the step.

  Attributes:
    large: large crops [B, L, H, W, 3], uint8.
    small: small crops [B, S, h, w, 3], uint8; S may be 0.
    label: class of the row, int32 [B], or -1 where the run may not know it.
    index: position of the image in the train set, int32 [B]; its identity.
    diagnostic_label: true class where the data has one, int32 [B], else -1;
      for metrics and for the oracle ablation alone.
    mask: foreground of each large crop [B, L, H, W], uint8 0 or 1, or None.
    support: labelled rows of a method that asks for them, or None.
  """

  large: Array
  small: Array
  label: Array
  index: Array
  diagnostic_label: Array
  mask: Array | None = None
  support: Support | None = None


_OF_SUPPORT = 'support_'


def to_arrays(batch: Batch) -> dict[str, Any]:
  """Returns the arrays of a batch by name, to be saved in one file."""
  arrays = batch._replace(support=None)._asdict()
  if batch.support is not None:
    for name, value in batch.support._asdict().items():
      arrays[_OF_SUPPORT + name] = value
  return {name: value for name, value in arrays.items() if value is not None}


def from_arrays(arrays: Mapping[str, Array]) -> Batch:
  """Returns the batch of which `to_arrays` made these."""
  own = {k: v for k, v in arrays.items() if not k.startswith(_OF_SUPPORT)}
  support = {
    k.removeprefix(_OF_SUPPORT): v for k, v in arrays.items() if k not in own
  }
  return Batch(**own, support=Support(**support) if support else None)
