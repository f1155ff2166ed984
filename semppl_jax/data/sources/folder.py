"""Image folders: class sub-folders, flat, mixed, or with a labels file."""

import logging
import os
from typing import NamedTuple

import numpy as np

from semppl_jax.data.batch import UNLABELLED
from semppl_jax.data.sources.files import FileSource
from semppl_jax.data.sources.labels_file import (
  class_order,
  is_image,
  read_labels,
)
from semppl_jax.runtime.errors import count_and_names, raise_if_any

_log = logging.getLogger(__name__)
_OTHER_FORMATS = ('.webp', '.tif', '.tiff', '.heic', '.heif', '.avif', '.jp2')
UNLABELLED_FOLDERS = ('unlabelled', 'unlabeled')


class Folder(NamedTuple):
  """What a folder holds, in the order of the paths.

  Attributes:
    source: the files.
    labels: int32 [n], -1 where there is none.
    class_names: names of the classes.
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
    labels_file: a file as `labels_file.read_labels` takes it, or ''. If it is
      not found as it stands, it is looked for under `root`.
    class_names: the classes to number labels by; default: those found.
    field: the config field that `root` comes from, for messages.

  Raises:
    ValueError: no such folder, no images in it, class folders without images,
      an unknown class, or a bad labels file.
  """
  where = f'{field}={root!r}'
  paths, empty = _list_images(root, where)
  if labels_file:
    if not os.path.exists(labels_file):
      under = os.path.join(root, labels_file)
      labels_file = under if os.path.exists(under) else labels_file
    named = read_labels(labels_file, paths)
    where = f'config.data.labels_file={labels_file!r}'
  else:
    raise_if_any(
      [count_and_names('class folder(s) without images', empty)] * bool(empty), where
    )
    named = {
      path: path.split('/')[0]
      for path in paths
      if '/' in path and path.split('/')[0].lower() not in UNLABELLED_FOLDERS
    }
  names = class_order(named.values()) if class_names is None else class_names
  unknown = sorted(set(named.values()) - set(names))
  raise_if_any(
    [count_and_names('class(es) that the train set has not', unknown)] * bool(unknown),
    where,
  )
  number = {name: i for i, name in enumerate(names)}
  labels = [number[named[p]] if p in named else UNLABELLED for p in paths]
  return Folder(
    FileSource(root, np.array(paths)), np.array(labels, np.int32), names
  )


def _list_images(root: str, where: str) -> tuple[list[str], list[str]]:
  """Returns sorted relative image paths and sub-folders without images."""
  if not root or not os.path.isdir(root):
    raise ValueError(f'{where} is not a folder.')
  errors: list[OSError] = []
  paths = []
  walk = os.walk(root, onerror=errors.append, followlinks=True)
  skipped, seen = [], set()
  for folder, folders, names in walk:
    # A link to a folder above would be followed for ever.
    place = os.path.realpath(folder)
    if place in seen:
      folders.clear()
      continue
    seen.add(place)
    # Such as .ipynb_checkpoints, whose copies would be a class.
    folders[:] = [name for name in folders if not name.startswith('.')]
    inside = os.path.relpath(folder, root)
    for name in names:
      if name.lower().endswith(_OTHER_FORMATS):
        skipped.append(os.path.join(folder, name))
      if name.startswith('.') or not is_image(name):
        continue
      path = name if inside == os.curdir else os.path.join(inside, name)
      paths.append(path.replace(os.sep, '/'))
  raise_if_any(
    [count_and_names('folder(s) that cannot be read', [e.filename for e in errors])]
    * bool(errors),
    where,
  )
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
    folders = [e.name for e in entries if e.is_dir()]
  empty = [
    name
    for name in set(folders) - filled
    if name.lower() not in UNLABELLED_FOLDERS and not name.startswith('.')
  ]
  return sorted(paths), sorted(empty)
