"""Image folders: class sub-folders, flat, mixed, or with a labels file."""

import logging
import os
from typing import NamedTuple

import numpy as np

from semppl_jax.data.batch import UNLABELLED
from semppl_jax.data.sources.labels_file import (
  class_order,
  is_image,
  read_labels,
)
from semppl_jax.runtime.errors import count_and_names, raise_if_any

_log = logging.getLogger(__name__)
_OTHER_FORMATS = ('.webp', '.tif', '.tiff', '.heic', '.heif', '.avif', '.jp2')
_UNLABELLED_FOLDERS = ('unlabelled', 'unlabeled')


class FileSource(NamedTuple):
  """Image files under a folder, which can be opened in any order.

  Attributes:
    root: the folder.
    paths: relative path of each image, str [n].
  """

  root: str
  paths: np.ndarray

  has_masks = False

  def select(self, rows: np.ndarray) -> 'FileSource':
    """Returns the source of `rows` (int [m]) alone, in that order."""
    return self._replace(paths=self.paths[rows])

  def without_masks(self) -> 'FileSource':
    """Returns the source; files have no masks."""
    return self

  def full_paths(self) -> list[str]:
    """Returns the paths as the process can open them."""
    return [os.path.join(self.root, path) for path in self.paths]

  def read(self, row: int) -> bytes:
    """Returns the bytes of one image."""
    with open(os.path.join(self.root, self.paths[row]), 'rb') as file:
      return file.read()

  def sizes(self) -> list[int]:
    """Returns the size of each file in bytes, -1 for a missing file."""
    return [_size(path) for path in self.full_paths()]


def _size(path: str) -> int:
  try:
    return os.path.getsize(path)
  except OSError:
    return -1


class Folder(NamedTuple):
  """Images of a folder in the order of their paths.

  Attributes:
    source: the files.
    labels: int32 [n], -1 for an unlabelled image.
    class_names: names of the classes, [C].
  """

  source: FileSource
  labels: np.ndarray
  class_names: tuple[str, ...]


def read_folder(
  root: str,
  labels_file: str = '',
  class_names: tuple[str, ...] | None = None,
  field: str = 'config.data.path',
) -> Folder:
  """Lists the images under `root` and their labels.

  With a labels file the folders are only part of the paths. Without one, the
  first-level sub-folders are the classes; images in the root itself and in a
  sub-folder named `unlabelled` or `unlabeled` have no label.

  Args:
    root: the folder.
    labels_file: a file for `labels_file.read_labels`, or ''. A file that does
      not exist is looked up under `root`.
    class_names: classes that number the labels; by default those of the folder.
    field: the config field of `root`, for messages.

  Raises:
    ValueError: no such folder, no images in it, class folders without images,
      an unknown class, or a bad labels file.
  """
  where = f'{field}={root!r}'
  paths, empty = _list_images(root, where)
  if labels_file:
    under = os.path.join(root, labels_file)
    if not os.path.exists(labels_file) and os.path.exists(under):
      labels_file = under
    class_of = read_labels(labels_file, paths)
    where = f'config.data.labels_file={labels_file!r}'
  else:
    raise_if_any({'class folder(s) without images': empty}, where)
    class_of = {path: path.split('/')[0] for path in paths if '/' in path}
    class_of = {p: c for p, c in class_of.items() if not _is_unlabelled(c)}
  names = class_order(class_of.values()) if class_names is None else class_names
  unknown = sorted(set(class_of.values()) - set(names))
  raise_if_any({'class(es) that the train set has not': unknown}, where)
  number = {name: i for i, name in enumerate(names)}
  labels = [number[class_of[p]] if p in class_of else UNLABELLED for p in paths]
  return Folder(
    FileSource(root, np.array(paths)), np.array(labels, np.int32), names
  )


def _is_unlabelled(folder: str) -> bool:
  return folder.lower() in _UNLABELLED_FOLDERS


def _list_images(root: str, where: str) -> tuple[list[str], list[str]]:
  """Returns sorted relative image paths and sub-folders without images."""
  if not root or not os.path.isdir(root):
    raise ValueError(f'{where} is not a folder.')
  paths, skipped = [], []
  for folder, names in _walk(root, where):
    inside = os.path.relpath(folder, root)
    for name in names:
      path = os.path.normpath(os.path.join(inside, name))
      if name.lower().endswith(_OTHER_FORMATS):
        skipped.append(os.path.join(root, path))
      elif is_image(name) and not name.startswith('.'):
        paths.append(path.replace(os.sep, '/'))
  if skipped:
    _log.warning(
      '%s has %s; convert them to .jpg or .png to use them.',
      where,
      count_and_names('file(s) of formats that are not read', skipped),
    )
  if not paths:
    raise ValueError(
      f'{where} holds no images (.jpg, .jpeg, .png, .bmp or .gif).'
    )
  filled = {path.split('/')[0] for path in paths if '/' in path}
  with os.scandir(root) as entries:
    folders = {e.name for e in entries if e.is_dir()}
  empty = [
    name
    for name in folders - filled
    if not _is_unlabelled(name) and not name.startswith('.')
  ]
  return sorted(paths), sorted(empty)


def _walk(root: str, where: str) -> list[tuple[str, list[str]]]:
  """Returns each folder under `root` with its files, following links."""
  errors: list[OSError] = []
  visited, found = set(), []
  for folder, folders, names in os.walk(
    root, onerror=errors.append, followlinks=True
  ):
    # A link to a parent folder would be followed for ever.
    real = os.path.realpath(folder)
    if real in visited:
      folders.clear()
      continue
    visited.add(real)
    # Such as .ipynb_checkpoints, whose copies would be a class.
    folders[:] = [name for name in folders if not name.startswith('.')]
    found.append((folder, names))
  unreadable = [error.filename for error in errors]
  raise_if_any({'folder(s) that cannot be read': unreadable}, where)
  return found
