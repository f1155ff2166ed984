"""Rows of one training step, as views, as whole images or as a data set."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

UNLABELLED = -1

# A NumPy, JAX or TensorFlow array, or the shape of one.
Array = jax.Array | Any
_SUPPORT_PREFIX = 'support_'


class Support(NamedTuple):
  """Labelled rows of one step, the same number of each class, not augmented.

  S = classes x images per class rows, ordered by class.

  Attributes:
    large: large crops [S, v, H, W, 3], uint8.
    label: class of the row, int32 [S].
    column: position of that class in the support batch, int32 [S].
    index: position of the image in the train set, int32 [S].
  """

  large: Array
  label: Array
  column: Array
  index: Array


class Batch(NamedTuple):
  """Rows of one step before color augmentation, which the step applies.

  Attributes:
    large: large crops [B, L, H, W, 3], uint8.
    small: small crops [B, S, h, w, 3], uint8; S may be 0.
    label: class of the row, int32 [B]; -1 where it is unlabelled.
    index: position of the image in the train set, int32 [B].
    diagnostic_label: true class, int32 [B], -1 where the data has none; only
      for metrics and the oracle ablation.
    mask: foreground of each large crop [B, L, H, W], uint8 0 or 1, or None.
    support: labelled rows of a method that needs them, or None.
  """

  large: Array
  small: Array
  label: Array
  index: Array
  diagnostic_label: Array
  mask: Array | None = None
  support: Support | None = None


class Canvas(NamedTuple):
  """Images of different sizes, each in the top left of a fixed-size array.

  Attributes:
    image: uint8 [B, H, W, 3].
    extent: height and width of each image in the array, int32 [B, 2].
    mask: foreground, uint8 [B, H, W] of 0 and 1, or None.
    transposed: True where rows of the array are columns of the image, bool
      [B]; None where no image is transposed.
  """

  image: Array
  extent: Array
  mask: Array | None = None
  transposed: Array | None = None


class UncroppedSupport(NamedTuple):
  """Support rows before the device crops them, see `Support`."""

  canvas: Canvas
  label: Array
  column: Array
  index: Array


class UncroppedBatch(NamedTuple):
  """Rows of one step before the device crops them, see `Batch`."""

  canvas: Canvas
  label: Array
  index: Array
  diagnostic_label: Array
  support: UncroppedSupport | None = None


class DeviceDataset(NamedTuple):
  """A whole train set of n images, from which the step samples its rows.

  Attributes:
    canvas: all n images.
    label: class that the run may use, int32 [n], or -1.
    diagnostic_label: true class, int32 [n], -1 where the data has none.
    populations: positions that each stream samples from, int32 [m] each.
    support: images of each class, int32 [C, m], and their number, int32 [C];
      None for a method without support rows.
  """

  canvas: Canvas
  label: Array
  diagnostic_label: Array
  populations: tuple[Array, ...]
  support: tuple[Array, Array] | None = None


StepInput = DeviceDataset | UncroppedBatch | Batch


def to_arrays(batch: Batch) -> dict[str, Array]:
  """Returns the arrays of a batch by name, to be saved in one file."""
  arrays = batch._replace(support=None)._asdict()
  if batch.support is not None:
    for name, value in batch.support._asdict().items():
      arrays[_SUPPORT_PREFIX + name] = value
  return {name: value for name, value in arrays.items() if value is not None}


def from_arrays(arrays: Mapping[str, Array]) -> Batch:
  """Inverts `to_arrays`."""
  own = {k: v for k, v in arrays.items() if not k.startswith(_SUPPORT_PREFIX)}
  support = {
    k.removeprefix(_SUPPORT_PREFIX): v
    for k, v in arrays.items()
    if k not in own
  }
  return Batch(**own, support=Support(**support) if support else None)
