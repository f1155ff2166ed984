"""Images that are arrays in an `.npz` file."""

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
  """What a file holds.

  Attributes:
    source: the images.
    ids: str [n]; their places where the file has no `ids`.
    labels: int32 [n], -1 where there is none.
    class_names: names, or the numbers where the file has no `class_names`.
  """

  source: ArraySource
  ids: np.ndarray
  labels: np.ndarray
  class_names: tuple[str, ...]


def read(path: str, field: str) -> Arrays:
  """Reads `images`, `labels` and, if they are there, `ids` and `class_names`.

  Args:
    path: a file of `numpy.savez`.
    field: the config field that names it, for messages.

  Raises:
    ValueError: it cannot be read, or its arrays are not as they must be.
  """
  where = f'{field}={path!r}'
  try:
    with np.load(os.path.expanduser(path), allow_pickle=False) as file:
      found = dict(file)
  except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
    raise ValueError(f'{where} cannot be read as .npz: {error}.') from error
  images = found.get('images')
  if images is None or not _is_images(images):
    told = images if images is None else f'{images.dtype} {images.shape}'
    raise ValueError(
      f"{where} needs 'images', uint8 [n, H, W, 3]; it has {told}."
    )
  count = len(images)
  labels = found.get('labels', np.full(count, UNLABELLED))
  ids = found.get('ids', np.arange(count)).astype(str)
  for name, array in (('labels', labels), ('ids', ids)):
    if array.shape != (count,):
      raise ValueError(
        f'{where} has {count} images, and {name!r} of shape {array.shape}.'
      )
  if not np.issubdtype(labels.dtype, np.integer):
    raise ValueError(f"{where} needs whole numbers as 'labels', not floats.")
  names = found.get('class_names')
  if names is None:
    names = np.arange(int(labels.max(initial=-1)) + 1)
  return Arrays(
    ArraySource(images), ids, labels.astype(np.int32), tuple(names.astype(str))
  )


def _is_images(x: np.ndarray) -> bool:
  if x.dtype != np.uint8 or x.ndim != 4:
    return False
  return x.shape[-1] == 3 and x.size > 0
