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


class Arrays(NamedTuple):
  """Content of a file.

  Attributes:
    source: the images.
    ids: str [n]; by default the positions.
    labels: int32 [n], -1 for an unlabelled image.
    class_names: names of the classes, [C]; by default the numbers.
  """

  source: ArraySource
  ids: np.ndarray
  labels: np.ndarray
  class_names: tuple[str, ...]


def read(path: str, field: str) -> Arrays:
  """Reads `images` and the optional `labels`, `ids` and `class_names`.

  Args:
    path: a file of `numpy.savez`.
    field: the config field of the file, for messages.

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
  if images is None or not _is_images(images):
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
  names = arrays.get('class_names')
  if names is None:
    names = np.arange(int(labels.max(initial=-1)) + 1)
  return Arrays(
    ArraySource(images), ids, labels.astype(np.int32), tuple(names.astype(str))
  )


def _is_images(x: np.ndarray) -> bool:
  if x.dtype != np.uint8 or x.ndim != 4:
    return False
  return x.shape[-1] == 3 and x.size > 0
