"""Decoded images of an `.npz` file."""

import os
from typing import NamedTuple
import zipfile

import numpy as np

from semppl_jax.data.batch import UNLABELLED


class ArraySource(NamedTuple):
  """Decoded images.

  Attributes:
    images: uint8 [n, H, W, 3].
  """

  images: np.ndarray

  has_masks = False

  def select(self, rows: np.ndarray) -> 'ArraySource':
    """Returns the source of `rows` (int [m]) alone, in that order."""
    return ArraySource(self.images[rows])


def read(
  path: str, field: str
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...], ArraySource]:
  """Reads `images` and the optional `labels`, `ids` and `class_names`.

  Args:
    path: a file of `numpy.savez`.
    field: the config field of the file, for messages.

  Returns:
    The ids, str [n], by default the positions; labels, int32 [n], -1 for an
    unlabelled image; class names, [C], by default the numbers; and the images.

  Raises:
    ValueError: it cannot be read, or an array has a wrong shape or dtype.
  """
  where = f'{field}={path!r}'
  try:
    with np.load(os.path.expanduser(path), allow_pickle=False) as file:
      arrays = dict(file)
  except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
    raise ValueError(f'{where} cannot be read as .npz: {error}.') from error
  images = arrays.get('images')
  if (
    images is None
    or (images.dtype, images.ndim) != (np.uint8, 4)
    or images.shape[-1] != 3
    or not images.size
  ):
    value = images if images is None else f'{images.dtype} {images.shape}'
    raise ValueError(
      f"{where} needs 'images', uint8 [n, H, W, 3]; it has {value}."
    )
  count = len(images)
  labels = arrays.get('labels', np.full(count, UNLABELLED))
  ids = arrays.get('ids', np.arange(count)).astype(str)
  for name, array in (('labels', labels), ('ids', ids)):
    if array.shape != (count,):
      raise ValueError(
        f'{where} has {count} images, and {name!r} of shape {array.shape}.'
      )
  if not np.issubdtype(labels.dtype, np.integer):
    raise ValueError(f"{where} needs whole numbers as 'labels', not floats.")
  numbers = np.arange(int(labels.max(initial=-1)) + 1)
  names = tuple(arrays.get('class_names', numbers).astype(str))
  return ids, labels.astype(np.int32), names, ArraySource(images)
