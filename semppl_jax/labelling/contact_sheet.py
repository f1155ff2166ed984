"""Contact sheet: small images with captions, in one PNG file."""

from collections.abc import Mapping, Sequence

import numpy as np

_INCH = 1.5
_COLUMNS = 8


def write(
  file: str,
  images: Mapping[int, np.ndarray],
  captions: Sequence[tuple[int, str]],
) -> None:
  """Draws images in the order of their captions.

  Args:
    file: the PNG to write.
    images: uint8 [H, W, 3] by row; a row without an image is left out.
    captions: row and caption of each.
  """
  from matplotlib.figure import Figure

  shown = [(row, text) for row, text in captions if row in images]
  columns = min(_COLUMNS, max(len(shown), 1))
  rows = max(-(-len(shown) // columns), 1)
  figure = Figure(
    figsize=(_INCH * columns, (_INCH + 0.3) * rows), layout='constrained'
  )
  grid = figure.subplots(rows, columns, squeeze=False).ravel()
  for axis in grid:
    axis.set_axis_off()
  for axis, (row, text) in zip(grid, shown, strict=False):
    axis.imshow(images[row])
    axis.set_title(text, fontsize=7)
  figure.savefig(file, dpi=110)
