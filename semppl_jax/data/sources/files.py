"""Images that are files, opened in any order."""

import os
from typing import NamedTuple

import numpy as np


class FileSource(NamedTuple):
  """Image files under a folder.

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
    """Returns the size of each file in bytes, -1 where there is no file."""
    return [_size(path) for path in self.full_paths()]


def _size(path: str) -> int:
  try:
    return os.path.getsize(path)
  except OSError:
    return -1
