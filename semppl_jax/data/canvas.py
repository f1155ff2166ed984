"""Whole images on their way to the step, which cuts its views from them."""

from typing import NamedTuple

from semppl_jax.data.batch import Array


class Canvas(NamedTuple):
  """Images of different sizes in arrays of one size, each at the top left.

  Attributes:
    image: uint8 [B, H, W, 3].
    extent: height and width of each image in it, int32 [B, 2].
    mask: foreground, uint8 [B, H, W] of 0 and 1, or None.
    turned: whether rows of the array are columns of the image, bool [B], or
      None where all lie as they are.
  """

  image: Array
  extent: Array
  mask: Array | None = None
  turned: Array | None = None


class Uncut(NamedTuple):
  """Rows of one step before their views are cut; a `Batch` comes of it.

  Attributes:
    canvas: of the B images.
    label: as in `Batch`, int32 [B].
    index: likewise.
    diagnostic_label: likewise.
    support: labelled rows of a method that asks for them, or None.
  """

  canvas: Canvas
  label: Array
  index: Array
  diagnostic_label: Array
  support: 'UncutSupport | None' = None


class UncutSupport(NamedTuple):
  """Labelled rows before their views are cut; a `Support` comes of it.

  Attributes:
    canvas: of the S images.
    label: as in `Support`, int32 [S].
    column: likewise.
    index: likewise.
  """

  canvas: Canvas
  label: Array
  column: Array
  index: Array


class Pool(NamedTuple):
  """A whole train set, from which the step takes its rows.

  Attributes:
    canvas: of the n images.
    label: class that the run may know, int32 [n], or -1.
    diagnostic_label: true class where the data has one, int32 [n], or -1.
    populations: positions that each stream of rows draws from, int32 [m] each.
    support: images of each class [C, m] and how many it has [C], int32, of a
      method that asks for them, or None.
  """

  canvas: Canvas
  label: Array
  diagnostic_label: Array
  populations: tuple[Array, ...]
  support: tuple[Array, Array] | None = None
